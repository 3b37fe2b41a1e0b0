# Screens. A small display shows the first two lines only, so what matters most comes first.
test-banner = *** TEST 测试 ***
test-short = TEST
service-phone = Support { $phone }
list-separator = {", "}
list-last = {" or "}

idle-ready = Welcome
confirm-amount = Take { $amount }?
confirm-plain = Please confirm
confirm-keys = Confirm to go on, Cancel to stop
present-ways = Please { $ways }
present-none = Please wait
present-way-swipe = swipe
present-way-insert = insert
present-way-tap = tap
present-way-scan = show your code
present-way-typed = type the number
problem-swipe-again = Please swipe again
problem-unknown = Please try again
pin-enter = Enter your PIN
pin-wrong = Wrong PIN, try again
pin-cover = Cover the keypad
pin-card = Card { $pan }
pin-digits = PIN { $stars }

wait-please = Please wait
wait-until = At most until { $time }
wait-preparing = Getting ready
wait-looking-up = Looking up the original
wait-connecting = Calling the bank
wait-signing-in = Signing in
wait-signing-off = Signing off
wait-reversing = Reversing an earlier payment
wait-sending = Asking the bank
wait-querying = Asking for the result
wait-unknown = Working

result-approved = Approved
result-kind-approved = { $kind }: done
result-declined = Declined
result-cancelled = Cancelled
result-failed = Not completed
result-running = Working
result-unknown = Do not take the money again
result-unknown-by = Not known yet, result by { $time }
result-unknown-open = Not known yet, result follows
result-balance = Balance { $amount }
result-fee = Merchant's fee { $amount }
result-card = Card { $pan }

trouble-unknown = The terminal needs help
trouble-paper-out = The printer is out of paper
trouble-printer = The printer does not work
trouble-printer-unavailable = The printer does not work
trouble-clock-jump = The clock differs much from the bank's, the supervisor checks it
trouble-starting = Starting
