//! Parser of the output of a magnetic reader: the characters of the tracks with their sentinels,
//! `%...?L;...?L+...?L`.
//!
//! Track 1 is written in 6-bit code (ISO/IEC 7811-2 table 3: ASCII less 0x20), tracks 2 and 3 in 4-bit code
//! (ASCII less 0x30). The LRC character follows the end sentinel; each of its bits makes the number of ones
//! in that position over start sentinel, data, end sentinel and LRC even. Its parity bit was judged by the
//! reader and is not seen here.
use payterm_schema::{Tracks, secret::CardError};
use zeroize::Zeroizing;

/// Rule of a [`CardError::Track`] for a card that was swiped backwards: swiping it again the other way round
/// helps.
pub const WRONG_DIRECTION: &str = "swiped in the wrong direction";

/// LRC characters in the output: passed on, or checked and removed by the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lrc {
    Follows,
    Absent,
}

/// Code of a track.
struct Code {
    track: u8,
    start: u8,
    /// Character of value zero in this code.
    base: u8,
    /// Greatest number of characters with both sentinels and the LRC (ISO/IEC 7811-2).
    longest: usize,
}
const CODES: [Code; 3] = [
    Code { track: 1, start: b'%', base: 0x20, longest: 79 },
    Code { track: 2, start: b';', base: 0x30, longest: 40 },
    Code { track: 3, start: b'+', base: 0x30, longest: 107 },
];
const END: u8 = b'?';

impl Code {
    /// LRC character of this data.
    fn lrc(&self, data: &[u8]) -> u8 {
        // The start sentinels '+' and ';' are both 1011 in 4-bit code: '+' is only how readers show that it
        // is track 3.
        let start = if self.track == 1 { b'%' } else { b';' };
        let bits = if self.track == 1 { 0x3f } else { 0x0f };
        ([start, END].iter().chain(data).fold(0, |sum, c| sum ^ c.wrapping_sub(self.base)) & bits) + self.base
    }
    /// Tells whether the code has this character for data.
    fn holds(&self, c: u8) -> bool {
        if self.track == 1 {
            (0x20..=0x5f).contains(&c) && c != b'%' && c != END
        } else {
            c.is_ascii_digit() || c == b'='
        }
    }
}

/// Parses a reader's raw output; carriage return and line feed at its end are ignored. An empty track and the
/// mark `E` of a reader that saw a track and could not decode it count as missing; on track 2 they are an
/// error. An error names track and rule, never data.
pub fn parse(raw: &str, lrc: Lrc) -> Result<Tracks, CardError> {
    let raw = raw.trim_end_matches(['\r', '\n']).as_bytes();
    read(raw, lrc, true).map_err(|wrong| {
        let turned: Zeroizing<Vec<u8>> = Zeroizing::new(raw.iter().rev().copied().collect());
        match read(&turned, lrc, false) {
            Ok(tracks) => CardError::Track(if tracks.track2.is_some() { 2 } else { 1 }, WRONG_DIRECTION),
            Err(_) => wrong,
        }
    })
}

/// Reads the tracks; `ordered`: they must come in ascending order. Read backwards, each track is turned by
/// itself, or all of them together.
fn read(raw: &[u8], lrc: Lrc, ordered: bool) -> Result<Tracks, CardError> {
    let mut tracks = Tracks::default();
    let mut seen = [false; 3];
    let mut rest = raw;
    while let Some((start, tail)) = rest.split_first() {
        let next = (seen.iter().rposition(|s| *s).map_or(1, |n| n + 2)).min(3) as u8;
        let code =
            CODES.iter().find(|c| c.start == *start).ok_or(CardError::Track(next, "no start sentinel"))?;
        let error = |rule| CardError::Track(code.track, rule);
        let index = usize::from(code.track - 1);
        if seen[index] {
            return Err(error("twice"));
        }
        if ordered && seen[index..].contains(&true) {
            return Err(error("out of order"));
        }
        seen[index] = true;
        let end = tail.iter().position(|c| *c == END).ok_or(error("no end sentinel"))?;
        let (data, tail) = (&tail[..end], &tail[end + 1..]);
        if matches!(data, b"E") {
            if code.track == 2 {
                return Err(error("not readable"));
            }
            rest = tail;
            continue;
        }
        if !data.iter().all(|c| code.holds(*c)) {
            return Err(error("a character that this track's code does not have"));
        }
        if data.len() + 3 > code.longest {
            return Err(error(if code.track == 1 {
                "more than 79 characters"
            } else if code.track == 2 {
                "more than 40 characters"
            } else {
                "more than 107 characters"
            }));
        }
        rest = match lrc {
            Lrc::Absent => tail,
            Lrc::Follows => match tail.split_first() {
                Some((c, tail)) if *c == code.lrc(data) => tail,
                Some(_) => return Err(error("LRC wrong")),
                None => return Err(error("no LRC")),
            },
        };
        if data.is_empty() {
            if code.track == 2 {
                return Err(error("empty"));
            }
            continue;
        }
        // Every character was checked to be ASCII.
        let text = Some(data.iter().map(|c| char::from(*c)).collect());
        match code.track {
            1 => tracks.track1 = text,
            2 => tracks.track2 = text,
            _ => tracks.track3 = text,
        }
    }
    if seen == [false; 3] {
        return Err(CardError::Track(2, "nothing was read"));
    }
    Ok(tracks)
}

/// Raw output of a reader for these tracks: what [`parse`] takes.
pub fn compose(tracks: &Tracks, lrc: Lrc) -> Zeroizing<String> {
    let mut raw = Zeroizing::new(String::with_capacity(79 + 40 + 107));
    for (code, data) in CODES.iter().zip([&tracks.track1, &tracks.track2, &tracks.track3]) {
        if let Some(data) = data {
            raw.push(char::from(code.start));
            raw.push_str(data);
            raw.push(char::from(END));
            if lrc == Lrc::Follows {
                raw.push(char::from(code.lrc(data.as_bytes())));
            }
        }
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T2: &str = "6222021234567890123=30121010000012300";

    fn track2(raw: &str, lrc: Lrc) -> Result<Option<String>, CardError> {
        parse(raw, lrc).map(|t| t.track2.clone())
    }
    fn rule(raw: &str, lrc: Lrc) -> String {
        parse(raw, lrc).map(|_| ()).unwrap_err().to_string()
    }

    /// The LRC of a short track, computed by hand: ; 1011, 1 0001, = 1101, 2 0010, ? 1111 -> 1010 = ':'.
    #[test]
    fn lrc_of_a_known_track() {
        assert_eq!(track2(";1=2?:", Lrc::Follows), Ok(Some("1=2".into())));
        assert_eq!(rule(";1=2?;", Lrc::Follows), "track 2: LRC wrong");
        // Track 1: % 000101, A 100001, ? 011111 -> 111011 = 0x3b + 0x20 = '['.
        assert_eq!(parse("%A?[", Lrc::Follows).map(|t| t.track1.clone()), Ok(Some("A".into())));
        // Track 3 has the sentinel of track 2 in 4-bit code.
        assert_eq!(parse("+1=2?:", Lrc::Follows).map(|t| t.track3.clone()), Ok(Some("1=2".into())));
    }

    #[test]
    fn three_tracks_without_lrc() {
        let t = parse("%B6222^LI/MING^3012101?;6222=3012?+996222==1?\r\n", Lrc::Absent).unwrap();
        assert_eq!(
            (t.track1.as_deref(), t.track2.as_deref(), t.track3.as_deref()),
            (Some("B6222^LI/MING^3012101"), Some("6222=3012"), Some("996222==1"))
        );
    }

    #[test]
    fn each_rule_is_named() {
        for (raw, want) in [
            ("", "track 2: nothing was read"),
            ("6222", "track 1: no start sentinel"),
            (";6222", "track 2: no end sentinel"),
            (";62A2?", "track 2: a character that this track's code does not have"),
            ("%a?", "track 1: a character that this track's code does not have"),
            (";1?;2?", "track 2: twice"),
            ("+1?;2?", "track 2: out of order"),
            (";1?x", "track 3: no start sentinel"),
            ("%E?;E?+E?", "track 2: not readable"),
            (";?", "track 2: empty"),
            (";6222=3012?é", "track 3: no start sentinel"),
        ] {
            assert_eq!(rule(raw, Lrc::Absent), want, "{raw}");
        }
        assert_eq!(rule(";6222?", Lrc::Follows), "track 2: no LRC");
        for (start, most) in [('%', 76), (';', 37), ('+', 104)] {
            assert!(parse(&format!("{start}{}?", "1".repeat(most)), Lrc::Absent).is_ok());
            assert!(rule(&format!("{start}{}?", "1".repeat(most + 1)), Lrc::Absent).ends_with("characters"));
        }
        assert_eq!(track2("%E?;12=3?+E?", Lrc::Absent), Ok(Some("12=3".into())));
    }

    #[test]
    fn backwards_is_told_apart_from_unreadable() {
        for lrc in [Lrc::Follows, Lrc::Absent] {
            let good = compose(
                &Tracks { track1: Some("B6222^A^3012".into()), track2: Some(T2.into()), track3: None },
                lrc,
            );
            let backwards: String = good.chars().rev().collect();
            assert_eq!(parse(&backwards, lrc), Err(CardError::Track(2, WRONG_DIRECTION)));
            let one = |t: Tracks| compose(&t, lrc).chars().rev().collect::<String>();
            let first = Tracks { track1: Some("B6222^A^3012".into()), track2: None, track3: None };
            let by_track = one(first) + &one(Tracks { track1: None, track2: Some(T2.into()), track3: None });
            assert_eq!(parse(&by_track, lrc), Err(CardError::Track(2, WRONG_DIRECTION)));
        }
        assert_ne!(parse("?12;x", Lrc::Absent), Err(CardError::Track(2, WRONG_DIRECTION)));
    }

    #[test]
    fn errors_hold_no_data() {
        let e = parse(&format!(";{T2}?"), Lrc::Follows).unwrap_err();
        assert!(!format!("{e} {e:?}").contains("6222"));
    }

    prop_compose! {
        fn tracks()(
            one in "[ !-$&->@-_]{2,76}",
            two in "[0-9=]{1,37}",
            three in "[0-9=]{1,104}",
            which in 1u8..8,
        ) -> Tracks {
            let on = |bit: u8, text: String| (which & bit != 0).then_some(text);
            Tracks { track1: on(1, one), track2: on(2, two), track3: on(4, three) }
        }
    }
    proptest! {
        #[test]
        fn never_panics(raw in any::<String>(), shaped in "[%;+?0-9=E ]{0,60}") {
            for text in [&raw, &shaped] {
                let _ = parse(text, Lrc::Follows);
                let _ = parse(text, Lrc::Absent);
            }
        }
        #[test]
        fn good_tracks_round_trip(t in tracks()) {
            for lrc in [Lrc::Follows, Lrc::Absent] {
                prop_assert_eq!(parse(&compose(&t, lrc), lrc), Ok(t.clone()));
            }
        }
        #[test]
        fn one_changed_character_is_caught(
            two in "[0-9=]{4,37}",
            at in any::<prop::sample::Index>(),
            to in "[0-9:-?]",
        ) {
            let tracks = Tracks { track1: None, track2: Some(two), track3: None };
            let mut raw = compose(&tracks, Lrc::Follows).to_string();
            let at = at.index(raw.len());
            prop_assume!(raw[at..=at] != to);
            raw.replace_range(at..=at, &to);
            prop_assert!(parse(&raw, Lrc::Follows).is_err());
        }
    }
}
