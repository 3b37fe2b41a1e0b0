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
apply-next-submitted = 收单机构收到前会自动重发
apply-page-in-review = 终端申请:收单机构审核中
apply-next-in-review = 请等待,或查询:paytermctl apply refresh
apply-page-approved = 终端申请:已通过
apply-next-approved = 请开通终端:paytermctl apply activate
apply-page-rejected = 终端申请:已退回
apply-next-rejected = 请更正后重新提交
apply-page-activated = 终端申请:已开通
apply-next-activated = 终端正以新账户启动

# 终端管理平台的答复为何不可用。
apply-problem-unreachable = 连不上终端管理平台:会自动重试
apply-problem-untrusted = 对方不是受信任的终端管理平台:请检查 tms.ca 并联系收单机构
apply-problem-refused = 终端管理平台拒绝了请求:请联系收单机构
apply-problem-too_long = 终端管理平台的答复过长:未采用
apply-problem-malformed = 终端管理平台的答复不合规则:未采用
apply-problem-signature = 答复没有收单机构的签名:未采用
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
apply-rule-products = 产品:银行卡、扫码或两者,各一次,且须为收单机构所提供

# 标签,paytermctl apply 与申请单共用。
apply-label-onboarding = 申请号
apply-label-revision = 版次
apply-label-stage = 状态
apply-label-since = 时间
apply-label-reason = 原因
apply-label-next = 下一步
apply-label-name = 商户简称
apply-label-legal-name = 执照名称
apply-label-licence = 执照号码
apply-label-category = 商户类别码
apply-label-contact = 联系人
apply-label-products = 产品
apply-label-accepted = 已同意
apply-label-problem = 问题
apply-label-account = 账户
apply-label-offer = 方案
apply-label-settlement = 结算周期
apply-label-hash = 同意时用的摘要
apply-slip-title = 终端申请单
apply-fee = { $product }:{ $rate } %
apply-fee-min = ,最低 { $amount }
apply-fee-max = ,封顶 { $amount }
