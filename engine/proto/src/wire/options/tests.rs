//! All small strings of options, against a reading by index that follows RFC 9293, section 3.1, step by step.

use super::*;
use alloc::vec::Vec;

/// Every kind that is known, one that is not, and lengths: none, too short, each known kind's own, too long.
const BYTES: [u8; 9] = [0, 1, 2, 3, 4, 5, 8, 10, 0xfe];

/// (kind, where its body begins, where it ends) of each option.
fn reference(bytes: &[u8]) -> Vec<(u8, usize, usize)> {
    let mut options = Vec::new();
    let mut at = 0;
    while at < bytes.len() && bytes[at] != END {
        if bytes[at] == NOP {
            at += 1;
            continue;
        }
        let Some(&len) = bytes.get(at + 1) else { break };
        let end = at + usize::from(len);
        if len < 2 || end > bytes.len() {
            break;
        }
        options.push((bytes[at], at + 2, end));
        at = end;
    }
    options
}

/// What `string`, a number in base nine of so many digits, stands for.
fn bytes_of(string: u32, len: usize) -> Vec<u8> {
    (0..len as u32).map(|place| BYTES[(string / 9_u32.pow(place) % 9) as usize]).collect()
}

#[test]
fn all_strings_of_up_to_six_bytes_are_walked_as_the_rfc_says() {
    for len in 0..=6 {
        for bytes in (0..9_u32.pow(len as u32)).map(|string| bytes_of(string, len)) {
            let expected = reference(&bytes);
            let walked = Walk(&bytes).map(|(kind, body)| {
                let start = body.as_ptr().addr() - bytes.as_ptr().addr();
                (kind, start, start + body.len())
            });
            assert!(walked.eq(expected.iter().copied()), "{bytes:?}");
            let syn = parse_syn(&bytes);
            let has = |kind, len| expected.iter().any(|&(k, start, end)| k == kind && end - start == len);
            assert_eq!(syn.sack_permitted, has(SACK_PERMITTED, 0), "{bytes:?}");
            assert_eq!(syn.window_scale.is_some(), has(WINDOW_SCALE, 1), "{bytes:?}");
            assert!((syn.timestamps, parse_data(&bytes)) == (None, DataOptions::default()), "{bytes:?}");
        }
    }
}

/// Behind any number of NOPs, and before an END with garbage behind it, a string says what it says alone.
#[test]
fn all_strings_of_three_bytes_at_all_forty_places() {
    for bytes in (0..9_u32.pow(3)).map(|string| bytes_of(string, 3)) {
        let alone = parse_syn(&bytes);
        for place in 0..=MAX_LEN - bytes.len() {
            let mut all = [NOP; MAX_LEN];
            all[place..place + bytes.len()].copy_from_slice(&bytes);
            assert_eq!(parse_syn(&all[..place + bytes.len()]), alone, "{bytes:?} at {place}");
            if let Some((end, garbage)) = all[place + bytes.len()..].split_first_mut()
                && is_whole(&bytes)
            {
                *end = END;
                garbage.fill(SACK_PERMITTED);
                assert_eq!(parse_syn(&all), alone, "{bytes:?} at {place}, garbage behind");
            }
        }
    }
}

/// Whether the walk comes to the end of these bytes, or to an END within them, rather than to an option that is cut off.
fn is_whole(bytes: &[u8]) -> bool {
    let mut walk = Walk(bytes);
    while walk.next().is_some() {}
    walk.0.iter().find(|&&byte| byte != NOP).is_none_or(|&byte| byte == END)
}
