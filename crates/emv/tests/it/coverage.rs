//! `docs/emv-coverage.md` is made of the kernel's own rows, and of what its sources do not settle.
use payterm_emv::verification::{Row, TSI, TVR, Use};
use std::fmt::Write as _;

/// Topic (EMV 4.4, contactless books), and the reading that is built. The stricter one, but where it says
/// "milder".
const UNSETTLED: [(&str, &str); 43] = [
    ("Book 1, selection", "6D00 to GET PROCESSING OPTIONS drops the application, as 6985 does. Milder"),
    ("Book 1, selection", "a name longer than an AID of exact match is not taken; the next one is asked for"),
    (
        "Book 1, selection",
        "only a card without a common application may be swiped; bad data ends the payment",
    ),
    ("Book 3, records", "an object is taken from its own template only, else left out and logged"),
    ("Book 3, records", "57 names the card number of 5A, or the card is malformed"),
    (
        "Book 3 §10.3",
        "a 9F4A that is not exactly 82, and a signed file without template, fail authentication",
    ),
    ("Book 2, RSA", "a signature not below its modulus fails; a modulus is odd, its first bit 1"),
    ("Book 2, RSA", "an exponent is 03 or 010001 without leading zeros, in the certified length"),
    (
        "Book 2, certificates",
        "a remainder has exactly the missing length; lengths are judged before the hash",
    ),
    ("Book 2, certificates", "keys have 512 bits at least and are no longer than their signer's"),
    ("Book 2, certificates", "a certificate for PINs that fails is not passed over for the card's own key"),
    (
        "Book 2, certificates",
        "a CA key is judged by its last day where the terminal gives it one, and used on that day",
    ),
    ("Book 2, DDA", "the dynamic number has 2 to 8 bytes; padding is hashed, not compared"),
    ("Book 2, DDA", "a status to INTERNAL AUTHENTICATE other than 9000 ends the payment"),
    ("Book 2, CDA", "an ARQC with a wrong signature is ended by an AAC at once (Z1)"),
    (
        "Book 3 §10.5",
        "a rule to fail ends the list, whatever its next bit; an amount equal to X or Y is neither",
    ),
    ("Book 3 §10.5", "tries that do not get fewer end the method; another status to VERIFY ends the payment"),
    ("Book 3 §10.5", "a PIN that was bypassed is asked for no more in the same payment"),
    ("Book 3, restrictions", "usage control of kinds 00 to 19 but 01: goods or services is enough. Milder"),
    (
        "Book 3 §10.6",
        "risk management is done for every card; counters that are missing are beyond both limits",
    ),
    ("Book 3, TDOL", "without a default TDOL an empty one is taken, and its bit set"),
    ("Book 3 §10.9", "host data that is not sound turns an approval into an AAC; an 8A in it is not read"),
    ("Book 3 §10.9", "failed EXTERNAL AUTHENTICATE still asks for the TC: the card and its codes decide"),
    ("Book 3 §10.10", "commands of selection, PIN and cryptogram are refused in a script"),
    ("Book 3 §10.10", "a malformed script counts as one that failed"),
    ("Book 4, codes", "the codes 01 and 02 are refusals"),
    ("Book 4, TSI", "card risk management is told as performed after the first GENERATE AC"),
    (
        "Contactless A, limits",
        "an amount equal to the limit is above that of payment and CVM, not above the floor",
    ),
    ("Contactless A, zero amount", "no amount goes online; there is no status check with one unit of money"),
    ("Contactless B, directory", "a longer name fits an AID that takes partial names only"),
    ("Contactless B, directory", "an entry without name, or with one of a wrong length, ends the tap"),
    ("Contactless B, directory", "9F2A other than 07, 00 or empty is another kernel's; 9F29 is not read"),
    (
        "Contactless B, outcomes",
        "6D00 to GET PROCESSING OPTIONS takes the next application, as 6985 does. Milder",
    ),
    ("Contactless B, outcomes", "6986 sends the holder to the phone, any other status to the chip"),
    ("C-7, PDOL", "one without all four bytes of 9F66 ends the tap"),
    ("C-7, answer", "format 1 (80) ends the tap; 82, 9F10, 9F26 and 9F36 must be there"),
    ("C-7, cryptogram", "its kind is that of 9F10 byte 5; a 9F27 that says otherwise ends the tap"),
    (
        "C-7, cryptogram",
        "dates and exception file are judged of a TC only: the issuer judges an ARQC. Milder",
    ),
    ("C-7, fDDA", "signed are 9F37, 9F02, 5F2A, 9F69, in this order; one source adds 9F66"),
    ("C-7, fDDA", "needs 5A, AIP byte 1 bit 6 and 9F69 of version 01; the number may have 2 to 8 bytes"),
    ("C-7, fDDA", "9F6C byte 1 bits 6 and 4 (go online with a TC) are not followed; bit 5 sends to the chip"),
    ("C-7, CVM", "online PIN before phone before signature; without 9F6C none is in common"),
    ("C-7, CVM", "9F34 is 020000, 1E0000 or, with a phone's word too, 3F0000"),
];

fn bits(name: &str, rows: &[Row]) -> String {
    let mut out = format!("\n## {name}\n\n| byte | bit | says | here |\n|---|---|---|---|\n");
    for Row { byte, bit, name, used } in rows {
        let here = match used {
            Use::Set => "set",
            Use::Absent => "0: not built",
            Use::Rfu => "0: reserved",
        };
        writeln!(out, "| {byte} | {bit} | {name} | {here} |").unwrap();
    }
    out
}

fn page() -> String {
    let mut out = String::from(
        "# What the EMV kernel covers\n\n\
         Made by `PAYTERM_BLESS=1 cargo test -p payterm-emv coverage`; the same test holds it.\n\n\
         The test `each_bit_is_set_by_some_run_or_by_none_as_its_row_says` (`crates/emv/tests/it/bits.rs`)\n\
         sets each bit that is `set` by a run, and finds the others 0 in all of them.\n",
    );
    out += &bits("Terminal verification results (95)", &TVR);
    out += &bits("Transaction status information (9B)", &TSI);
    out += "\n## Unsettled\n\nNeither notes nor vectors that we may use settle these.\n\n";
    out += "| EMV 4.4, contactless books | built is |\n|---|---|\n";
    UNSETTLED.iter().for_each(|(topic, reading)| writeln!(out, "| {topic} | {reading} |").unwrap());
    out
}

#[test]
fn the_coverage_page_is_the_kernels() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/emv-coverage.md");
    if std::env::var_os("PAYTERM_BLESS").is_some() {
        std::fs::write(file, page()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), page());
}
