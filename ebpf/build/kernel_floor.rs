//! The oldest kernel that must be able to run the programs is 6.1: what they call is checked when they are compiled.

/// The last helper of kernel 6.1 (`user_ringbuf_drain`, include/uapi/linux/bpf.h). Helpers are numbered in the order in which
/// they came, and the list is closed: what came later is kfuncs, which are no stable interface at all.
const LAST_HELPER: i32 = 209;

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// What a call's source register says.
const HELPER: u8 = 0;
const KFUNC: u8 = 2;

/// Checks the instructions of a section of a little- or big-endian object.
///
/// # Errors
/// The first call that kernel 6.1 would refuse.
pub fn check(instructions: &[u8], little_endian: bool) -> Result<(), String> {
    for (number, instruction) in instructions.chunks_exact(8).enumerate() {
        let source = if little_endian { instruction[1] >> 4 } else { instruction[1] & 0x0f };
        let immediate = [instruction[4], instruction[5], instruction[6], instruction[7]];
        let immediate = if little_endian { i32::from_le_bytes(immediate) } else { i32::from_be_bytes(immediate) };
        match (instruction[0], source) {
            (CALL, HELPER) if immediate > LAST_HELPER => {
                return Err(format!("instruction {number} calls helper {immediate}, which kernel 6.1 does not have"));
            }
            (CALL, KFUNC) => return Err(format!("instruction {number} calls a kfunc, and those may change")),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{CALL, check};

    fn call(source: u8, target: i32) -> Vec<u8> {
        let mut bytes = vec![CALL, source << 4, 0, 0];
        bytes.extend(target.to_le_bytes());
        bytes
    }

    #[test]
    fn helpers_of_6_1_and_functions_of_our_own_may_be_called() {
        // A 64-bit load takes two instructions; the second begins with zero.
        let load = [&[0x18, 0, 0, 0, 0x85, 0, 0, 0][..], &[0; 8]].concat();
        let program = [call(0, 1), call(0, 209), call(1, 5000), load].concat();
        assert_eq!(check(&program, true), Ok(()));
    }

    #[test]
    fn newer_helpers_and_kfuncs_may_not() {
        let newer = [call(0, 1), call(0, 210)].concat();
        assert!(check(&newer, true).unwrap_err().starts_with("instruction 1 calls helper 210"));
        assert!(check(&call(2, 17), true).unwrap_err().contains("kfunc"));
        let big_endian = [CALL, 0x02, 0, 0, 0, 0, 0, 17];
        assert!(check(&big_endian, false).unwrap_err().contains("kfunc"));
    }
}
