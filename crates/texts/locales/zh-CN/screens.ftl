# 屏幕。小屏只显示前两行,所以最要紧的话在前。
test-banner = *** 测试 TEST ***
test-short = 测试
service-phone = 客服 { $phone }
list-separator = 、
list-last = 或

idle-ready = 欢迎光临
confirm-amount = 确认收款 { $amount }?
confirm-plain = 请确认
confirm-keys = 确认键继续,取消键退出
present-ways = 请{ $ways }
present-none = 请稍候
present-way-swipe = 刷卡
present-way-insert = 插卡
present-way-tap = 挥卡
present-way-scan = 出示付款码
present-way-typed = 输入卡号
problem-swipe-again = 请再刷一次
problem-unknown = 请再试一次
pin-enter = 请输入密码
pin-wrong = 密码错误,请重新输入
pin-cover = 请遮挡键盘
pin-card = 卡号 { $pan }
pin-digits = 密码 { $stars }

wait-please = 请稍候
wait-until = 最晚 { $time }
wait-preparing = 正在准备
wait-looking-up = 正在查找原交易
wait-connecting = 正在连接银行
wait-signing-in = 正在签到
wait-signing-off = 正在签退
wait-reversing = 正在冲正上一笔交易
wait-sending = 正在联系银行
wait-querying = 正在查询结果
wait-unknown = 处理中

result-approved = 交易成功
result-kind-approved = { $kind }成功
result-declined = 交易被拒绝
result-cancelled = 交易已取消
result-failed = 交易未成功
result-running = 处理中
result-unknown = 不要重复收款
result-unknown-by = 结果未知,{ $time } 前出结果
result-unknown-open = 结果未知,稍后出结果
result-balance = 余额 { $amount }
result-fee = 商户手续费 { $amount }
result-card = 卡号 { $pan }

trouble-unknown = 终端有故障
trouble-paper-out = 打印机缺纸
trouble-printer = 打印机故障
trouble-printer-unavailable = 打印机故障
trouble-clock-jump = 终端时间与银行相差较大,请主管核对
trouble-starting = 正在启动
