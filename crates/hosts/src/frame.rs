//! The frame around a message: length prefix, TPDU, header, and the MAC in F64 (host-protocol §1, §5).
use crate::iso8583::{IsoError, LeftOut, Message, Part, Unpacked};
use crate::profile::{LengthPrefix, MacForm, Profile, field};
use payterm_schema::host::MacVerdict;
use payterm_schema::secret::{Mac, MacError, MacValue, SecretBytes};
use std::ops::Range;
use zeroize::Zeroizing;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("frame length: not four decimal digits")]
    LengthDigits,
    #[error("frame length: {found}; the profile allows {min} to {max}")]
    Length { found: usize, min: usize, max: usize },
    #[error("frame: {found} bytes, but its length says {said}")]
    Size { said: usize, found: usize },
    #[error("frame: a keep-alive, without a message")]
    KeepAlive,
    #[error("TPDU: its first byte is not the profile's")]
    Tpdu,
    #[error("header: a nibble is no digit")]
    Header,
    #[error(transparent)]
    Iso(#[from] IsoError),
    #[error("MAC: {0}")]
    Mac(#[from] MacError),
}

/// Part of a frame before the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Id, destination NII, source NII.
    pub tpdu: Option<[u8; 5]>,
    /// The header's digits as ASCII.
    pub header: Option<Vec<u8>>,
}
impl Envelope {
    /// The envelope of the answer: NIIs swapped, the requirement digit set.
    pub fn reply(&self, profile: &Profile, requirement: u8) -> Self {
        let mut header = self.header.clone();
        if let (Some(at), Some(digits)) = (profile.frame.requirement_digit, &mut header)
            && let Some(digit) = digits.get_mut(at.wrapping_sub(1))
        {
            *digit = b'0' + requirement % 10;
        }
        Self { tpdu: self.tpdu.map(|[id, d1, d2, s1, s2]| [id, s1, s2, d1, d2]), header }
    }
    /// The host's processing requirement; 0 where there is no header.
    pub fn requirement(&self, profile: &Profile) -> u8 {
        let digit =
            profile.frame.requirement_digit.and_then(|at| self.header.as_ref()?.get(at.wrapping_sub(1)));
        digit.map_or(0, |d| d.wrapping_sub(b'0'))
    }
}

/// Bytes of the length prefix.
const fn prefix_len(profile: &Profile) -> usize {
    match profile.frame.length {
        LengthPrefix::Binary2 => 2,
        LengthPrefix::Ascii4 => 4,
    }
}

/// Tells whether it is a keep-alive: a length of 0, and nothing after it.
pub fn is_keep_alive(profile: &Profile, frame: &[u8]) -> bool {
    frame.len() == prefix_len(profile)
}

/// Length of the whole frame that starts here, its prefix included; `None` until the prefix is there. A
/// keep-alive is the prefix alone.
pub fn frame_len(profile: &Profile, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let prefix = prefix_len(profile);
    let Some(raw) = bytes.get(..prefix) else { return Ok(None) };
    let found = match profile.frame.length {
        LengthPrefix::Binary2 => raw.iter().fold(0, |n, b| n << 8 | usize::from(*b)),
        LengthPrefix::Ascii4 => {
            if !raw.iter().all(u8::is_ascii_digit) {
                return Err(FrameError::LengthDigits);
            }
            raw.iter().fold(0, |n, b| n * 10 + usize::from(b - b'0'))
        }
    };
    // MTI and bitmap at least.
    let (min, max) = (10, profile.frame.max);
    if found == 0 || (min..=max).contains(&found) {
        Ok(Some(prefix + found))
    } else {
        Err(FrameError::Length { found, min, max })
    }
}

/// A frame taken apart.
#[derive(Debug)]
pub struct Decoded {
    pub envelope: Envelope,
    pub message: Message,
    /// What is not of the profile's form, in order; not in the message.
    pub(crate) unread: Vec<Unread>,
    /// The message's bytes before F64, when that is its last field.
    mac_input: Option<SecretBytes>,
}

/// A part of a frame that is not of the profile's form: a field, or all that follows when its end is not
/// known.
#[derive(Debug)]
pub(crate) struct Unread {
    pub fault: IsoError,
    pub bytes: SecretBytes,
    /// Nothing after it could be read.
    pub last: bool,
}
impl Decoded {
    /// The first fault of the message; of a frame that [`decode`] takes there is none.
    pub fn fault(&self) -> Option<IsoError> {
        self.unread.first().map(|u| u.fault)
    }
    /// Bytes that the MAC covers; `None` without F64.
    pub fn mac_input(&self) -> Option<&[u8]> {
        self.mac_input.as_ref().map(SecretBytes::reveal)
    }
    /// The verdict on F64. It is checked wherever it stands; without a key none is good.
    pub fn verify(&self, profile: &Profile, mac: &dyn Mac) -> Result<MacVerdict, MacError> {
        let (Some(given), Some(input)) = (self.message.get(field::MAC), self.mac_input()) else {
            return Ok(if profile.uses_mac(self.message.mti()) {
                MacVerdict::Absent
            } else {
                MacVerdict::NotUsed
            });
        };
        let good = match profile.mac.form {
            MacForm::Whole => mac.verify(profile.mac.algorithm, input, given),
            // Constant time: every byte is compared.
            MacForm::Hex => make_mac(profile, mac, input).map(|want| {
                want.reveal().len() == given.len()
                    && want.reveal().iter().zip(given).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
            }),
        };
        match good {
            Ok(true) => Ok(MacVerdict::Good),
            Ok(false) | Err(MacError::NoKey) => Ok(MacVerdict::Wrong),
            Err(e @ MacError::Store(_)) => Err(e),
        }
    }
}

fn make_mac(profile: &Profile, mac: &dyn Mac, input: &[u8]) -> Result<MacValue, MacError> {
    let whole = mac.mac(profile.mac.algorithm, input)?;
    Ok(match profile.mac.form {
        MacForm::Whole => whole,
        MacForm::Hex => {
            let digit = |n: u8| if n < 10 { b'0' + n } else { b'A' + n - 10 };
            let first = whole.reveal().iter().take(4);
            MacValue::new(&first.flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect::<Vec<u8>>())
        }
    })
}

/// Takes one whole frame apart, of which all is as the profile says.
pub fn decode(profile: &Profile, frame: &[u8]) -> Result<Decoded, FrameError> {
    let decoded = take_apart(profile, frame)?;
    decoded.fault().map_or(Ok(decoded), |fault| Err(FrameError::Iso(fault)))
}

/// Takes one whole frame apart as far as that can be done.
pub fn take_apart(profile: &Profile, frame: &[u8]) -> Result<Decoded, FrameError> {
    let prefix = prefix_len(profile);
    let said = frame_len(profile, frame)?.unwrap_or(prefix);
    if said != frame.len() {
        return Err(FrameError::Size { said, found: frame.len() });
    }
    if is_keep_alive(profile, frame) {
        return Err(FrameError::KeepAlive);
    }
    let mut rest = frame.get(prefix..).unwrap_or_default();
    let mut envelope = Envelope::default();
    if let Some(id) = &profile.frame.tpdu {
        let (tpdu, tail) = rest.split_first_chunk::<5>().ok_or(FrameError::Tpdu)?;
        if hex::decode(id).ok().as_deref() != tpdu.get(..1) {
            return Err(FrameError::Tpdu);
        }
        (envelope.tpdu, rest) = (Some(*tpdu), tail);
    }
    if let Some(template) = &profile.header {
        let len = template.header_digits(false).map_or(0, |d| d.len() / 2);
        let (header, tail) = rest.split_at_checked(len).ok_or(FrameError::Header)?;
        let digits = hex::encode(header).into_bytes();
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(FrameError::Header);
        }
        (envelope.header, rest) = (Some(digits), tail);
    }
    let Unpacked { message, last, left_out, broken } = profile.table.take_apart(rest)?;
    let bytes = |at: Range<usize>| SecretBytes::new(rest.get(at).unwrap_or_default().to_vec());
    let left_out = left_out.into_iter().map(|LeftOut { field, rule, at }| {
        let fault = IsoError { part: Part::Field(field), rule };
        Unread { fault, bytes: bytes(at), last: false }
    });
    let broken = broken.map(|(fault, at)| Unread { fault, bytes: bytes(at..rest.len()), last: true });
    let unread = left_out.chain(broken).collect();
    let mac_input = message.has(field::MAC).then(|| bytes(0..last));
    Ok(Decoded { envelope, message, unread, mac_input })
}

/// Makes a frame. With a MAC, F64 is made wherever the profile wants it for this MTI; without, the message
/// goes out as it stands.
pub fn encode(
    profile: &Profile,
    envelope: &Envelope,
    message: &mut Message,
    mac: Option<&dyn Mac>,
) -> Result<SecretBytes, FrameError> {
    let mac = mac.filter(|_| profile.uses_mac(message.mti()));
    if mac.is_some() {
        message.set(field::MAC, [0; 8])?;
    }
    let prefix = prefix_len(profile);
    // Room for the largest frame: the buffer is not moved, and wiped as a whole.
    let mut out = Zeroizing::new(Vec::with_capacity(profile.frame.max + 512));
    out.extend_from_slice(&[0; 4][..prefix]);
    if let Some(tpdu) = envelope.tpdu {
        out.extend_from_slice(&tpdu);
    }
    if let Some(header) = &envelope.header {
        out.extend_from_slice(&hex::decode(header).map_err(|_| FrameError::Header)?);
    }
    let start = out.len();
    profile.table.pack(message, &mut out)?;
    if let Some(mac) = mac {
        let end = out.len() - 8;
        let value = make_mac(profile, mac, out.get(start..end).unwrap_or_default())?;
        out.truncate(end);
        out.extend_from_slice(value.reveal());
        message.set(field::MAC, value.reveal())?;
    }
    let found = out.len() - prefix;
    if found > profile.frame.max {
        return Err(FrameError::Length { found, min: 10, max: profile.frame.max });
    }
    let length = match profile.frame.length {
        LengthPrefix::Binary2 => (found as u16).to_be_bytes().to_vec(),
        LengthPrefix::Ascii4 => format!("{found:04}").into_bytes(),
    };
    out[..prefix].copy_from_slice(&length);
    Ok(SecretBytes::new(std::mem::take(&mut out)))
}
