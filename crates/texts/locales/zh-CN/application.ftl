# 终端申请。
stage-none = 未申请
stage-draft = 填写中
stage-submitted = 已提交
stage-in_review = 审核中
stage-approved = 已通过
stage-rejected = 已退回
stage-activated = 已开通
product-card = 银行卡
product-scan = 扫码

# 尚无账户时的屏幕;凭条和 paytermctl 也用。
apply-page-none = 终端尚未开通
apply-next-none = 请申请:paytermctl apply offer
apply-page-draft = 终端申请:尚未提交
apply-next-draft = 请填写完整并提交
apply-page-submitted = 终端申请:正在提交
apply-next-submitted = 收单行收到前会自动重发
apply-page-in-review = 终端申请:收单行审核中
apply-next-in-review = 请等待,或查询:paytermctl apply refresh
apply-page-approved = 终端申请:已通过
apply-next-approved = 请开通终端:paytermctl apply activate
apply-page-rejected = 终端申请:已退回
apply-next-rejected = 请更正后重新提交
apply-page-activated = 终端申请:已开通
apply-next-activated = 终端正以新账户启动

# 终端管理平台的答复为何不可用。
apply-problem-unreachable = 连不上终端管理平台:会自动重试
apply-problem-untrusted = 对方不是受信任的终端管理平台:请检查 tms.ca 并联系收单行
apply-problem-refused = 终端管理平台拒绝了请求:请联系收单行
apply-problem-too_long = 终端管理平台的答复过长:未采用
apply-problem-malformed = 终端管理平台的答复不合规则:未采用
apply-problem-signature = 答复没有收单行的签名:未采用
apply-problem-not_for_us = 答复属于别的终端或别的请求:未采用
apply-problem-keys = 主密钥未能装入:没有任何更改

# 申请各项的规则。
apply-rule-name = 商户简称:1 至 40 个字
apply-rule-legal_name = 执照名称:1 至 80 个字
apply-rule-licence = 执照号码:5 至 32 位 A-Z 0-9 -
apply-rule-address = 地址:1 至 80 个字
apply-rule-city = 城市:1 至 40 个字
apply-rule-category = 商户类别码:4 位数字
apply-rule-contact = 联系人:1 至 40 个字
apply-rule-phone = 电话:5 至 20 位 0-9 + - 和空格
apply-rule-email = 电子邮箱:不超过 80 个字符,含一个 @
apply-rule-products = 产品:银行卡、扫码或两者,各一次,且须为收单行所提供

# paytermctl apply。
cli-apply-application = 申请号
cli-apply-revision = 版次
cli-apply-stage = 状态
cli-apply-since = 时间
cli-apply-reason = 原因
cli-apply-next = 下一步
cli-apply-name = 商户简称
cli-apply-legal-name = 执照名称
cli-apply-licence = 执照号码
cli-apply-category = 商户类别码
cli-apply-contact = 联系人
cli-apply-products = 产品
cli-apply-accepted = 已同意
cli-apply-problem = 问题
cli-apply-account = 账户
cli-apply-offer = 方案
cli-apply-settlement = 结算周期
cli-apply-hash = 同意时用的摘要
cli-apply-fee = { $product }:{ $rate } %,最低 { $min },封顶 { $max } { $currency }
cli-apply-no-cap = 不封顶
cli-notice-application = 终端申请:{ $stage }
cli-explain-application = 终端申请:{ $stage }
