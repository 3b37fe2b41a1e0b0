# The journal: damaged, restored, its disk and its clock.
cli-explain-restored = The journal was restored: { $why }. Backup up to record { $backup }, { $salvaged } records salvaged, { $lost } requests lost
cli-explain-outdated = The acquirer knows of payments that are not in this journal: { $why }. Payments are stopped until the recovery is ended
cli-explain-recovery-ended = Recovery ended by { $by }
cli-explain-clock = Clock doubtful ({ $what }): { $seconds } s
cli-explain-clock-agrees = The clock agrees with the host's ({ $account }) again
fault-journal-restored = the journal was restored after damage, or is an old copy: payments are stopped until the supervisor ends the recovery (paytermctl journal recovered). Start request { $id } again after that, with the same id
fault-journal-restored-lost = request { $id } was begun in what a damaged journal lost: whether it was made is not known here, and it is never started again. Ask the acquirer; take its money again, under another id, only when it was not made
fault-journal-damaged = the journal is damaged, no payments: restart the terminal (systemctl restart paytermd), it restores the last backup ({ $cause })
fault-disk-full = the disk is full ({ $free } MiB free, { $needed } needed): no new payments until there is room
reason-journal-restored = The journal was restored after damage, or is an old copy: whether it was made is not known
next-journal-restored = Ask the acquirer before charging again
trouble-recovering = No payments: journal restored, the supervisor ends it
trouble-journal-damaged = No payments: journal damaged, call support
trouble-clock-doubtful = Clock doubtful, check it
rule-the-journal-was-restored-end-the-recovery-first = the journal was restored: end the recovery first
rule-the-journal-is-not-in-recovery = the journal is not in recovery
rule-a-number-a-colon-and-n-hexadecimal-digits = a number, a colon and { $n } hexadecimal digits
