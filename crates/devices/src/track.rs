//! Parser of the output of a magnetic reader: the characters of the tracks with their sentinels,
//! `%...?L;...?L+...?L`.
//!
//! Track 1 is written in 6-bit code (ISO/IEC 7811-2 table 3: ASCII less 0x20), tracks 2 and 3 in 4-bit code
//! (ASCII less 0x30). The LRC character follows the end sentinel; each of its bits makes the number of ones
//! in that position over start sentinel, data, end sentinel and LRC even. Its parity bit was judged by the
//! reader and is not seen here.
use payterm_schema::{Tracks, secret::CardError};
use zeroize::{Zeroize, Zeroizing};

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
        let value = |c: &u8| c.to_ascii_uppercase().wrapping_sub(self.base);
        ([start, END].iter().chain(data).fold(0, |sum, c| sum ^ value(c)) & bits) + self.base
    }
    /// Tells whether the code has this character for data.
    fn holds(&self, c: u8) -> bool {
        if self.track == 1 {
            (0x20..=0x5f).contains(&c.to_ascii_uppercase()) && c != b'%' && c != END
        } else {
            c.is_ascii_digit() || c == b'='
        }
    }
}

/// What a swipe gave: the tracks that are good, and what is wrong with each other one that was there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swipe {
    pub tracks: Tracks,
    pub bad: Vec<CardError>,
}

/// Parses a reader's raw output. Track 2 decides: when it is good, a bad track 1 or 3 is left out and named,
/// and what stands before, between and behind the tracks (spaces, line ends, characters of the reader's own)
/// does not matter. Without a track 2 a good other track is given; the caller sees what it lacks. An error
/// names track and rule, never data.
///
/// Track 3 begins with `+`, or with a second `;`; track 1 may be in small letters, as a keyboard with caps
/// lock gives it. Two tracks 2 that are not the same are two swipes: neither is taken.
pub fn parse(raw: &str, lrc: Lrc) -> Result<Swipe, CardError> {
    read(raw.as_bytes(), lrc).map_err(|wrong| {
        let turned: Zeroizing<Vec<u8>> = Zeroizing::new(raw.bytes().rev().collect());
        match read(&turned, lrc) {
            Ok(swipe) => CardError::Track(if swipe.tracks.track2.is_some() { 2 } else { 1 }, WRONG_DIRECTION),
            Err(_) => wrong,
        }
    })
}

fn read(raw: &[u8], lrc: Lrc) -> Result<Swipe, CardError> {
    let mut swipe = Swipe::default();
    let mut seen = [false; 3];
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|c| CODES.iter().any(|code| code.start == *c)) {
        // A second ';' is how some readers show track 3.
        let index = match rest[at] {
            b'%' => 0,
            b';' if !seen[1] => 1,
            _ => 2,
        };
        let code = &CODES[index];
        let (data, after) = code.cut(&rest[at + 1..], lrc);
        let again = (rest[at] == b';' && index == 2).then_some(data).and_then(Result::ok);
        let doubled = rest[at] == b';' && after.first() == Some(&b';');
        rest = after;
        if data == Err(NOTHING) && !(doubled && lrc == Lrc::Follows) {
            continue;
        }
        match (&swipe.tracks.track2, again) {
            (Some(first), Some(data)) if first.as_bytes() == data => continue,
            (Some(first), Some(data)) if is_another_track2(first, data) => {
                return Err(CardError::Track(2, "twice"));
            }
            (Some(_) | None, Some(_) | None) => {}
        }
        let judged = if seen[index] { Err("twice") } else { data.and_then(|data| code.judge(data)) };
        seen[index] = true;
        let Swipe { tracks, bad } = &mut swipe;
        match (index, judged) {
            (_, Err(rule)) => bad.push(CardError::Track(code.track, rule)),
            (0, Ok(text)) => tracks.track1 = Some(text),
            (1, Ok(text)) => {
                tracks.track2 = Some(text);
                if let Err(e) = tracks.track2_parts() {
                    tracks.track2.zeroize();
                    bad.push(e);
                }
            }
            (_, Ok(text)) => tracks.track3 = Some(text),
        }
    }
    let Swipe { tracks, bad } = &swipe;
    let of_track2 = bad.iter().find(|e| matches!(e, CardError::Track(2, _)));
    match (of_track2, bad.first()) {
        (Some(e), _) if tracks.track2.is_none() => Err(e.clone()),
        _ if *tracks != Tracks::default() => Ok(swipe),
        (_, Some(e)) => Err(e.clone()),
        (_, None) if raw.iter().all(u8::is_ascii_whitespace) => Err(CardError::Track(2, "nothing was read")),
        (_, None) => Err(CardError::Track(2, "no start sentinel")),
    }
}

/// Rule of a start sentinel that no track follows. Where an LRC follows each track, `;;` is one that lost its
/// first digit: a 0 that became a sentinel does not change the LRC.
const NOTHING: &str = "nothing behind the start sentinel";

impl Code {
    /// The data of the track whose start sentinel was just read, and what follows the track.
    fn cut<'a>(&self, tail: &'a [u8], lrc: Lrc) -> (Result<&'a [u8], &'static str>, &'a [u8]) {
        let is_start = |c: u8| CODES.iter().any(|code| code.start == c);
        let apart = |c: &u8| is_start(*c) || c.is_ascii_whitespace() || c.is_ascii_control();
        let end =
            tail.iter().position(|c| *c == END || is_start(*c) && !self.holds(*c)).unwrap_or(tail.len());
        let (data, after) = tail.split_at(end);
        // Track 1 has ';' among its characters: without its end it would hold the track 2 behind it.
        let inner = data.iter().rposition(|c| *c == b';').filter(|at| is_track2(&data[at + 1..]));
        if let (1, Some(at)) = (self.track, inner) {
            return (Err("no end sentinel"), &tail[at..]);
        }
        let Some((&END, after)) = after.split_first() else {
            return (Err(if data.is_empty() { NOTHING } else { "no end sentinel" }), after);
        };
        if matches!(data, b"E" | b"e") {
            return (Err("not readable"), after);
        }
        match (lrc, after.split_first()) {
            (Lrc::Absent, _) => (Ok(data), after),
            // Anything else behind it: an end sentinel that is none, and an LRC that fits by chance.
            (Lrc::Follows, Some((c, after))) if *c == self.lrc(data) && after.first().is_none_or(apart) => {
                (Ok(data), after)
            }
            (Lrc::Follows, Some((c, after))) if !is_start(*c) => (Err("LRC wrong"), after),
            (Lrc::Follows, Some(_) | None) => (Err("no LRC"), after),
        }
    }

    /// The data as text, when it keeps the rules of this code.
    fn judge(&self, data: &[u8]) -> Result<String, &'static str> {
        if data.is_empty() {
            return Err("empty");
        }
        if !data.iter().all(|c| self.holds(*c)) {
            return Err("a character that this track's code does not have");
        }
        match self.track {
            _ if data.len() + 3 <= self.longest => {}
            1 => return Err("more than 79 characters"),
            2 => return Err("more than 40 characters"),
            _ => return Err("more than 107 characters"),
        }
        Ok(data.iter().map(|c| char::from(c.to_ascii_uppercase())).collect())
    }
}

/// Tells whether it is a track 2 in all its parts.
fn is_track2(data: &[u8]) -> bool {
    let text = CODES[1].judge(data).ok();
    text.is_some_and(|t| Tracks { track1: None, track2: Some(t), track3: None }.track2_parts().is_ok())
}

/// Tells whether it is another track 2, and not this card's track 3: two digits and the same card number.
fn is_another_track2(first: &str, data: &[u8]) -> bool {
    let pan = first.split('=').next().unwrap_or_default();
    let its_own = data.get(2..).is_some_and(|d| d.starts_with(pan.as_bytes()));
    is_track2(data) && !its_own
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

    fn rule(raw: &str, lrc: Lrc) -> String {
        parse(raw, lrc).map(|_| ()).unwrap_err().to_string()
    }

    /// LRCs of short tracks, computed by hand.
    #[test]
    fn lrc_of_a_known_track() {
        // Track 1: % 000101, A 100001, ? 011111 -> 111011 = 0x3b + 0x20 = '['.
        assert_eq!(parse("%A?[", Lrc::Follows).map(|s| s.tracks.track1.clone()), Ok(Some("A".into())));
        assert_eq!(parse("%a?[", Lrc::Follows).map(|s| s.tracks.track1.clone()), Ok(Some("A".into())));
        // Track 3 has the sentinel of track 2 in 4-bit code: ; 1011, 1 0001, = 1101, 2 0010, ? 1111 -> 1010
        // = ':'.
        assert_eq!(parse("+1=2?:", Lrc::Follows).map(|s| s.tracks.track3.clone()), Ok(Some("1=2".into())));
        assert_eq!(rule("+1=2?;", Lrc::Follows), "track 3: no LRC");
        assert_eq!(rule("+1=2?1", Lrc::Follows), "track 3: LRC wrong");
        let damaged = compose(
            &Tracks { track1: None, track2: Some("0000000000000=0000".into()), track3: None },
            Lrc::Follows,
        )
        .replacen(";0", ";;", 1);
        assert_eq!(rule(&damaged, Lrc::Follows), "track 2: nothing behind the start sentinel");
    }

    /// What readers give, of the kinds that public projects for them report: the string, the tracks that are
    /// good or the error, and what is named of the others.
    #[test]
    fn track_2_decides() {
        const T1: &str = "B6222021234567890123^LI/MING^30121010000012300";
        const T3: &str = "996222021234567890123=1561560000000000000003000000216000404040411=000000000000";
        const LETTER: &str = "track 1: a character that this track's code does not have";
        const SIGN: &str = "track 3: a character that this track's code does not have";
        let rows: [(&str, Result<&str, &str>, &[&str]); 41] = [
            ("%{1}?;{2}?+{3}?", Ok("123"), &[]),
            ("%{1}?;{2}?", Ok("12"), &[]),
            (";{2}?", Ok("2"), &[]),
            // Line ends between the tracks and behind them, a space or zeros in front.
            ("%{1}?\r\n;{2}?\r\n+{3}?\r\n", Ok("123"), &[]),
            ("  ;{2}?\t", Ok("2"), &[]),
            ("\u{2}%{1}?;{2}?\u{3}", Ok("12"), &[]),
            ("000;{2}?", Ok("2"), &[]),
            // Track 3 under the sentinel of track 2, or before it.
            (";{2}?;{3}?", Ok("23"), &[]),
            ("%{1}?;{2}?;{3}?", Ok("123"), &[]),
            ("+{3}?;{2}?", Ok("23"), &[]),
            // One track under several heads.
            (";{2}?;{2}?;{2}?", Ok("2"), &[]),
            // Marks of a reader that saw a track and could not decode it.
            ("%E?;{2}?+E?", Ok("2"), &["track 1: not readable", "track 3: not readable"]),
            ("%e?;{2}?", Ok("2"), &["track 1: not readable"]),
            ("%?;{2}?+?", Ok("2"), &["track 1: empty", "track 3: empty"]),
            ("%{1}?;E?+{3}?", Err("track 2: not readable"), &[]),
            ("%{1}?;?", Err("track 2: empty"), &[]),
            // Caps lock, other letters, damage, too long, cut off.
            ("%b6222^li/ming^3012?;{2}?", Ok("12"), &[]),
            ("%B6222^L\u{ef}/MING^3012?;{2}?", Ok("2"), &[LETTER]),
            ("%B6222^LI~MING^3012?;{2}?", Ok("2"), &[LETTER]),
            ("%{1}{1}?;{2}?", Ok("2"), &["track 1: more than 79 characters"]),
            ("%B6222^LI/MING;{2}?", Ok("2"), &["track 1: no end sentinel"]),
            ("%B6222^LI/MING%{1}?;{2}?", Ok("2"), &["track 1: no end sentinel", "track 1: twice"]),
            ("{1}?;{2}?", Ok("2"), &[]),
            // Track 3 with the other characters of its code, cut off, or of another use.
            (";{2}?+99=1:2?", Ok("2"), &[SIGN]),
            (";{2}?;99=1<2?", Ok("2"), &[SIGN]),
            (";{2}?+9962", Ok("2"), &["track 3: no end sentinel"]),
            (";{2}?;", Ok("2"), &[]),
            (";{2}?+0042?", Ok("23"), &[]),
            // An LRC that the reader was to take away, some of them a sentinel.
            ("%{1}?3;{2}?5+{3}?0", Ok("123"), &[]),
            ("%{1}?;;{2}?", Ok("12"), &[]),
            ("%{1}?%;{2}?", Ok("12"), &["track 1: twice"]),
            ("%{1}?+;{2}?", Ok("12"), &[]),
            // Two swipes in one.
            (";{2}?\r;6222029999999999999=3012?", Err("track 2: twice"), &[]),
            ("%{1}?;{2}?%{1}?;{2}?", Ok("12"), &["track 1: twice"]),
            // Nothing of a track 2, or a bad one.
            ("%{1}?", Ok("1"), &[]),
            ("+{3}?", Ok("3"), &[]),
            (" \r\n", Err("track 2: nothing was read"), &[]),
            ("{2}", Err("track 2: no start sentinel"), &[]),
            (";{2}", Err("track 2: no end sentinel"), &[]),
            (";62A2=3012?", Err("track 2: a character that this track's code does not have"), &[]),
            ("%{1}?;6222021234567890123?", Err("track 2: no field separator"), &[]),
        ];
        for (row, want, bad) in rows {
            let got = parse(&row.replace("{1}", T1).replace("{2}", T2).replace("{3}", T3), Lrc::Absent);
            let named: Vec<_> = got.iter().flat_map(|s| &s.bad).map(ToString::to_string).collect();
            let tracks = got.map(|s| s.tracks).map_err(|e| e.to_string());
            let good = tracks.as_ref().map(|t| {
                let there = [("1", &t.track1), ("2", &t.track2), ("3", &t.track3)];
                there.iter().filter(|(_, t)| t.is_some()).map(|(n, _)| *n).collect::<String>()
            });
            assert_eq!(good.as_deref().map_err(|e| e.as_str()), want, "{row}");
            assert_eq!(named, bad, "{row}");
            assert!(tracks.iter().flat_map(|t| &t.track2).all(|t| t == T2), "{row}");
        }
    }

    #[test]
    fn the_length_of_each_track_has_an_end() {
        let t2 = |n: usize| format!(";{T2:0<n$}?");
        assert!(parse(&t2(37), Lrc::Absent).is_ok());
        assert_eq!(rule(&t2(38), Lrc::Absent), "track 2: more than 40 characters");
        for (start, most) in [('%', 76), ('+', 104)] {
            assert!(parse(&format!("{start}{}?", "1".repeat(most)), Lrc::Absent).is_ok());
            assert!(rule(&format!("{start}{}?", "1".repeat(most + 1)), Lrc::Absent).ends_with("characters"));
        }
    }

    #[test]
    fn a_missing_or_wrong_lrc_is_named() {
        let good = compose(&Tracks { track1: None, track2: Some(T2.into()), track3: None }, Lrc::Follows);
        let (bare, lrc) = good.split_at(good.len() - 1);
        assert_eq!(rule(bare, Lrc::Follows), "track 2: no LRC");
        let other = if lrc == "1" { "2" } else { "1" };
        assert_eq!(rule(&format!("{bare}{other}"), Lrc::Follows), "track 2: LRC wrong");
        for (first, named) in [("%A?x", "LRC wrong"), ("%A?", "no LRC")] {
            let read = parse(&format!("{first}{}", *good), Lrc::Follows).unwrap();
            assert_eq!(
                (read.tracks.track2.as_deref(), read.bad),
                (Some(T2), vec![CardError::Track(1, named)])
            );
        }
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
            two in "[0-9]{12,19}=[0-9]{0,17}",
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
                let whole = Swipe { tracks: t.clone(), bad: Vec::new() };
                prop_assert_eq!(parse(&compose(&t, lrc), lrc), Ok(whole));
            }
        }
        #[test]
        fn one_changed_character_is_caught(
            two in "[0-9]{12,19}=[0-9]{0,17}",
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
