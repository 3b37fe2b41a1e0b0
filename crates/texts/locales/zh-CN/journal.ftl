# 交易流水:损坏、恢复、磁盘与时钟。
cli-explain-restored = 交易流水已恢复:{ $why }。备份至记录 { $backup },挽回 { $salvaged } 条记录,丢失 { $lost } 笔请求
cli-explain-outdated = 收单机构有本机交易流水中没有的交易:{ $why }。结束恢复之前暂停交易
cli-explain-recovery-ended = { $by } 结束恢复
cli-explain-clock = 时钟可疑({ $what }):{ $seconds } 秒
cli-explain-clock-agrees = 时钟与主机一致({ $account })
fault-journal-restored = 交易流水已从备份恢复,或为旧副本:主管结束恢复(paytermctl journal recovered)之前暂停交易。恢复结束后,请以相同编号重新发起请求 { $id }
fault-journal-restored-lost = 请求 { $id } 在损坏丢失的交易流水中已发起,本机无法确认是否已执行,该编号不再受理。请先向收单机构核实;确认未执行后,方可以新的编号重新收款
fault-journal-damaged = 交易流水损坏,暂停交易:请重启终端程序(systemctl restart paytermd),将自动恢复最近备份({ $cause })
fault-disk-full = 磁盘空间不足(剩余 { $free } MiB,需要 { $needed } MiB):释放空间前不受理新交易
reason-journal-restored = 交易流水损坏后已恢复,或为旧副本,无法确认本笔是否已执行
next-journal-restored = 请先向收单机构核实,勿重复收款
trouble-recovering = 暂停交易:流水已恢复,请主管结束恢复
trouble-journal-damaged = 暂停交易:流水损坏,请联系客服
trouble-clock-doubtful = 时钟可疑,请核对日期和时间
rule-the-journal-was-restored-end-the-recovery-first = 交易流水已从备份恢复:请先结束恢复
rule-the-journal-is-not-in-recovery = 交易流水不在恢复状态
rule-a-number-a-colon-and-n-hexadecimal-digits = 数字、冒号及 { $n } 位十六进制数
