//! Frames of one profile, by the codec of `payterm-hosts`.
use crate::{
    ask::{Ask, Named, PinGiven, What},
    bank::settlement::{BatchAsk, BatchWhat},
    keys::Mak,
    mishap::Mishap,
};
use payterm_hosts::{
    Decoded, Envelope, FrameError, LengthPrefix, Profile, ProfileError, RequestError, RequestView, Upload,
    Var, decode, encode, frame_len, iso8583::Message, reply_message, trace,
};
use payterm_schema::{
    HostAnswer, Kind, Tracks,
    account::{Batch, Stan},
    download::EmvAsk,
    host::{FieldView, MacVerdict},
    icc::Tag,
    secret::{Mac, MacError, SecretBytes},
};
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("profile {name}: {cause}")]
    Read { name: String, cause: std::io::Error },
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// A profile, and the name by which the world's accounts call it.
#[derive(Debug)]
pub struct Wire {
    name: String,
    profile: Profile,
}

/// A request as it was understood.
pub enum Demand {
    Money(Box<Ask>),
    /// Sign-in, sign-off, echo, parameters, status upload (with what it says).
    Network(Kind, Option<String>),
    /// A message of a download of CA keys or applications.
    Download(EmvAsk),
    /// A message of a settlement.
    Batch(BatchAsk),
    /// Not understood: this F39.
    Refused(&'static str),
}

/// Content of a settlement message; none when its form is wrong.
fn settlement(view: &RequestView) -> Option<BatchAsk> {
    let what = match view.upload {
        None => BatchWhat::Totals(view.totals()?),
        Some(Upload::List) => BatchWhat::Records(view.records()?.iter().map(|r| (r.stan, r.minor)).collect()),
        Some(Upload::One(_)) => BatchWhat::Records(vec![(view.original()?.1.get(), view.amount()?)]),
        Some(Upload::Certificate { .. }) => BatchWhat::Certificate {
            stan: view.original()?.1.get(),
            minor: view.amount()?,
            pan: view.pan()?,
            psn: view.text(Var::CardSequence).and_then(|n| n.parse().ok()),
            icc: view.icc()?,
        },
        Some(Upload::End { balanced }) => BatchWhat::End { records: view.uploaded()?, balanced },
    };
    Some(BatchAsk { batch: view.batch()?.get(), stan: view.stan()?.get(), what })
}

impl Wire {
    /// A built-in profile by name, else a profile file.
    pub fn load(name: &str) -> Result<Self, WireError> {
        let profile = match Profile::builtin(name) {
            Err(ProfileError::Unknown(_)) if name.contains(['/', '.']) => {
                let read = |cause| WireError::Read { name: name.into(), cause };
                let size = std::fs::metadata(Path::new(name)).map_err(read)?.len();
                if size > crate::world::MAX_WORLD {
                    return Err(read(std::io::Error::other("too large for a profile")));
                }
                Profile::parse(&std::fs::read_to_string(name).map_err(read)?)?
            }
            other => other?,
        };
        Ok(Self { name: name.into(), profile })
    }
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Minutes east of UTC of F12 and F13.
    pub fn utc_offset_minutes(&self) -> i32 {
        self.profile.utc_offset_minutes
    }
    /// Bytes of the length prefix.
    pub fn prefix_len(&self) -> usize {
        match self.profile.frame.length {
            LengthPrefix::Binary2 => 2,
            LengthPrefix::Ascii4 => 4,
        }
    }
    /// Length of the whole frame that begins with this prefix.
    pub fn length(&self, prefix: &[u8]) -> Result<usize, WireError> {
        Ok(frame_len(&self.profile, prefix)?.unwrap_or(prefix.len()))
    }
    pub fn hear(&self, frame: &[u8]) -> Result<Decoded, WireError> {
        Ok(decode(&self.profile, frame)?)
    }
    pub fn verify(&self, decoded: &Decoded, mac: &dyn Mac) -> Result<MacVerdict, MacError> {
        decoded.verify(&self.profile, mac)
    }
    pub fn trace(&self, envelope: &Envelope, message: &Message) -> Vec<FieldView> {
        trace(&self.profile, envelope, message)
    }

    /// Reads the request; everything but the PIN, which needs the session's key.
    pub fn understand(&self, m: &Message) -> Demand {
        let view = match RequestView::read(&self.profile, m) {
            Ok(v) => v,
            Err(RequestError::Unknown) => return Demand::Refused("12"),
            Err(RequestError::Missing(_) | RequestError::Extra(_) | RequestError::Form(_)) => {
                return Demand::Refused("30");
            }
        };
        if view.kind == Kind::Settlement {
            return settlement(&view).map_or(Demand::Refused("30"), Demand::Batch);
        }
        if let Some(ask) = view.download {
            return Demand::Download(ask);
        }
        if !view.kind.row().authorisation {
            return Demand::Network(view.kind, view.text(Var::Serial).map(str::to_owned));
        }
        let (Some(stan), Some(batch)) = (view.stan(), view.batch()) else { return Demand::Refused("30") };
        let mut tracks = Tracks::default();
        tracks.track2 = view.text(Var::Track2).map(str::to_owned);
        let track = tracks.track2.is_some().then(|| tracks.track2_parts());
        let (pan, track_expiry) = match (view.pan(), track) {
            (_, Some(Err(_))) => return Demand::Refused("30"),
            (Some(pan), Some(Ok((t, _, _)))) if pan != t => return Demand::Refused("30"),
            (pan, Some(Ok((_, expiry, _)))) => (pan, expiry),
            (pan, None) => (pan, None),
        };
        let icc = view.icc();
        if view.bytes(Var::Icc).is_some() && icc.is_none() {
            return Demand::Refused("30");
        }
        // Five bytes a script.
        let results = icc.as_ref().and_then(|icc| icc.values(Tag::SCRIPT_RESULTS).next());
        if view.script_result && !results.is_some_and(|r| !r.is_empty() && r.len().is_multiple_of(5)) {
            return Demand::Refused("30");
        }
        if view.text(Var::Pan).is_some() && pan.is_none()
            || view.text(Var::Code).is_some() && view.code().is_none()
        {
            return Demand::Refused("14");
        }
        // Zeros: the terminal does not know the original's numbers.
        let named = view.text(Var::OriginalStan).map(|_| Named {
            batch: view.original().map(|(b, _)| b.get()),
            stan: view.original().map(|(_, s)| s.get()),
            date: view.text(Var::OriginalDate).map(str::to_owned),
        });
        Demand::Money(Box::new(Ask {
            what: match (view.reversal, view.query) {
                (None, false) if view.script_result => What::Notice,
                (Some(_), _) => What::Reversal,
                (None, true) => What::Query,
                (None, false) => What::Do(view.kind),
            },
            advice: view.offline,
            expiry: view.text(Var::Expiry).map(str::to_owned).or(track_expiry),
            pan,
            psn: view.text(Var::CardSequence).and_then(|n| n.parse().ok()),
            icc,
            pin: match view.bytes(Var::PinBlock) {
                Some(_) => PinGiven::Sealed(view.pin_block()),
                None => PinGiven::None,
            },
            code: view.code(),
            amount: view.amount(),
            currency: view.text(Var::Currency).and_then(|c| c.parse().ok()),
            rrn: view.text(Var::OriginalRrn).map(str::to_owned),
            auth: view.text(Var::AuthCode).or(view.text(Var::VoiceCode)).map(str::to_owned),
            tip: view.tip(),
            named,
            ..self.outline(m, stan, batch)
        }))
    }

    fn outline(&self, m: &Message, stan: Stan, batch: Batch) -> Ask {
        let text = |n| m.text(n).map(str::to_owned);
        let mut mti = m.mti().to_owned();
        if mti.ends_with('1') {
            mti.replace_range(3.., "0");
        }
        Ask {
            advice: false,
            what: What::Query,
            mti,
            f3: text(3),
            f25: text(25),
            type60: m.text(60).and_then(|t| t.get(..2)).map(str::to_owned),
            batch: batch.get(),
            stan: stan.get(),
            amount: None,
            currency: None,
            pan: None,
            psn: None,
            icc: None,
            expiry: None,
            pin: PinGiven::None,
            code: None,
            tip: None,
            rrn: None,
            auth: None,
            named: None,
        }
    }

    /// The reply's frame and its masked view; `mishap` may spoil it. `keys`: F62 of a sign-in.
    pub fn reply(
        &self,
        request: &Decoded,
        answer: &HostAnswer,
        keys: Option<&SecretBytes>,
        mak: Option<&Mak>,
        mishap: Option<&Mishap>,
    ) -> Result<(Vec<u8>, Vec<FieldView>), WireError> {
        let mut message =
            reply_message(&self.profile, &request.message, answer, keys).map_err(FrameError::Iso)?;
        let envelope = request.envelope.reply(&self.profile, answer.requirement);
        if let (Some(Mishap::WrongStan), Some(stan)) =
            (mishap, request.message.text(11).and_then(|s| s.parse::<u32>().ok()))
        {
            message.set(11, format!("{:06}", (stan + 1) % 1_000_000)).map_err(FrameError::Iso)?;
        }
        // F62 of an entry or a list of a download loses its last byte.
        if mishap == Some(&Mishap::TruncatedTlv)
            && let (Some(_), Some([cut @ .., _])) =
                (&answer.download, message.get(62).map(<[u8]>::to_vec).as_deref())
        {
            message.set(62, cut).map_err(FrameError::Iso)?;
        }
        let mac = mak.filter(|_| mishap != Some(&Mishap::NoMac)).map(|m| m as &dyn Mac);
        let mut bytes = encode(&self.profile, &envelope, &mut message, mac)?.reveal().to_vec();
        let view = self.trace(&envelope, &message);
        let (half, last) = (bytes.len() / 2, bytes.len() - 1);
        match mishap {
            Some(Mishap::BadMac) if message.has(64) => bytes[last] ^= 1,
            Some(Mishap::CorruptReply) => bytes[half] ^= 1,
            Some(_) | None => {}
        }
        Ok((bytes, view))
    }
}
