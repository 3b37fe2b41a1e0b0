# Applying for a terminal.
stage-none = nobody has applied
stage-draft = draft
stage-submitted = submitted
stage-in_review = in review
stage-approved = approved
stage-rejected = rejected
stage-activated = activated
product-card = bank cards
product-scan = payment codes

# The page of a terminal without an account; on the paper and in paytermctl too.
apply-page-none = This terminal is not in service
apply-next-none = Apply for it: paytermctl apply offer
apply-page-draft = Application: not sent yet
apply-next-draft = Complete it and submit it
apply-page-submitted = Application: being sent
apply-next-submitted = It is repeated until the acquirer has it
apply-page-in-review = Application: the acquirer reviews it
apply-next-in-review = Wait, or ask with: paytermctl apply refresh
apply-page-approved = Application: approved
apply-next-approved = Activate the terminal: paytermctl apply activate
apply-page-rejected = Application: rejected
apply-next-rejected = Correct it and submit it again
apply-page-activated = Application: activated
apply-next-activated = The terminal starts with its accounts

# Why the terminal management gave nothing that can be used.
apply-problem-unreachable = The terminal management cannot be reached: it is tried again
apply-problem-untrusted = What answers is not the terminal management that is trusted here: check tms.ca, call the acquirer
apply-problem-refused = The terminal management refused the question: call the acquirer
apply-problem-too_long = The terminal management answered too much: nothing was taken over
apply-problem-malformed = The answer of the terminal management breaks a rule: nothing was taken over
apply-problem-signature = The answer is not signed by the acquirer: nothing was taken over
apply-problem-not_for_us = The answer is for another terminal or another question: nothing was taken over
apply-problem-keys = The master key could not be taken over: nothing was changed

# What a field of the application may hold.
apply-rule-name = Shop name: 1 to 40 characters
apply-rule-legal_name = Name in the licence: 1 to 80 characters
apply-rule-licence = Licence number: 5 to 32 of A-Z 0-9 -
apply-rule-address = Address: 1 to 80 characters
apply-rule-city = City: 1 to 40 characters
apply-rule-category = Merchant category code: 4 digits
apply-rule-contact = Contact: 1 to 40 characters
apply-rule-phone = Phone: 5 to 20 of 0-9 + - and space
apply-rule-email = E-mail: up to 80 characters with one @
apply-rule-products = Products: card, scan or both, each once, and offered by the acquirer

# Labels, in paytermctl apply and on the application slip.
apply-label-onboarding = Application
apply-label-revision = Revision
apply-label-stage = Stage
apply-label-since = Since
apply-label-reason = Reason
apply-label-next = What to do
apply-label-name = Shop name
apply-label-legal-name = Name in the licence
apply-label-licence = Licence number
apply-label-category = Category code
apply-label-contact = Contact
apply-label-products = Products
apply-label-accepted = Accepted
apply-label-problem = Problem
apply-label-account = Account
apply-label-offer = Offer
apply-label-settlement = Settlement
apply-label-hash = Hash to accept
apply-slip-title = TERMINAL APPLICATION
apply-fee = { $product }: { $rate } %
apply-fee-min = , at least { $amount }
apply-fee-max = , at most { $amount }
