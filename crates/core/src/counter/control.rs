//! The host's answer to sign-in, sign-off, echo and the other messages about no payment that an app asks for.
use super::{Next, Serving};
use crate::{Effect, context::Context, view};
use payterm_schema::{
    AccountId, AccountRecord, HostAnswer, Kind, RequestRecord, Status,
    account::Stan,
    download::EmvList,
    host::FrameTrace,
    outcome::{Authority, Class},
};

pub(super) fn answered(
    cx: &mut Context,
    s: &Serving,
    account: &AccountId,
    stan: Stan,
    answer: HostAnswer,
    trace: FrameTrace,
) -> Next {
    let txn = s.txn;
    let mut outcome = (*cx.running().view).clone();
    view::with_answer(&mut outcome, &answer);
    let (code, digit) = (answer.code.clone(), answer.requirement);
    let class = cx.class(account, &code);
    let refusal = if s.kind() == Kind::SignIn { cx.sign_in_refusal(account, &answer) } else { None };
    cx.record(
        Some(txn),
        RequestRecord::Answered {
            txn,
            account: account.clone(),
            stan,
            answer: Box::new(answer.clone()),
            due: None,
            trace,
        },
    );
    if let Some((word, why)) = refusal {
        cx.record(Some(txn), AccountRecord::SignInFailed { account: account.clone(), why });
        let code = if class == Class::A {
            // The host may have other keys than ours by now.
            cx.sign_out(account, "a sign-in brought no keys");
            word.to_owned()
        } else {
            format!("host-{code}")
        };
        view::ended(&mut outcome, Status::Declined, code, class.max_failure(), cx.now);
        cx.finish(outcome);
        return Next::Stay;
    }
    if s.kind() == Kind::SignIn {
        cx.record_sign_in(account, answer);
    } else if s.kind() == Kind::SignOff && class == Class::A {
        cx.sign_out(account, "sign-off");
        cx.effect(Effect::ForgetKeys { account: account.clone() });
    }
    cx.requirement(account, txn, digit);
    if s.kind() == Kind::Parameters && class == Class::A {
        // Who asks for parameters by hand asks for the card kernel's too.
        cx.want_download(account, &[EmvList::Keys, EmvList::Aids]);
    }
    if class == Class::A {
        view::approved(&mut outcome, Authority::Host, cx.now);
    } else {
        view::ended(&mut outcome, Status::Declined, format!("host-{code}"), class, cx.now);
    }
    cx.finish(outcome);
    Next::Stay
}
