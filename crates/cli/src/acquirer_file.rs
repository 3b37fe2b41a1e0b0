//! The acquirer's file of a batch, as it comes from the acquirer.
use encoding_rs::{GB18030, UTF_8};
use std::{
    io::{self, Read},
    path::Path,
};

/// The text of the file; `-` is standard input.
pub fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        io::stdin().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(path)?;
    }
    decode(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "neither UTF-8 nor GB18030"))
}

/// What is valid UTF-8 is read so, with a byte order mark or without; anything else is taken for GB18030, of
/// which GBK and GB 2312 are parts.
fn decode(bytes: &[u8]) -> Option<String> {
    let (text, _, malformed) = UTF_8.decode(bytes);
    if !malformed {
        return Some(text.into_owned());
    }
    GB18030.decode_without_bom_handling_and_without_replacement(bytes).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gbk_gb18030_and_utf_8_are_told_apart() {
        let text =
            "batch,stan,kind,amount,currency,status,rrn,商户\n7,1,sale,12.34,CNY,approved,,深圳茶叶店\n";
        let (gbk, _, _) = encoding_rs::GBK.encode(text);
        assert!(UTF_8.decode(&gbk).2, "the test's own file is no UTF-8");
        let with_mark = [&b"\xEF\xBB\xBF"[..], text.as_bytes()].concat();
        for (name, file) in [("utf-8", text.as_bytes()), ("with a mark", &with_mark), ("gbk", &gbk)] {
            assert_eq!(decode(file).as_deref(), Some(text), "{name}");
        }
        let rare = text.replace('茶', "\u{20000}");
        let (gb18030, _, unmapped) = GB18030.encode(&rare);
        assert!(!unmapped);
        assert_eq!(decode(&gb18030).as_deref(), Some(rare.as_str()));
        assert_eq!(decode(&[text.as_bytes(), b"\xFF\xFF"].concat()), None);
    }
}
