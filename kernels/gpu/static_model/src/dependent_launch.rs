//! Loads of global memory that a kernel may make before it waits for the launch ahead of it (`griddepcontrol.wait`, in machine
//! code `ACQBULK`).
//!
//! What an earlier launch writes must be read after the wait. The sources are written so; but with `--restrict` the compiler may
//! take inputs for invariant and move their loads up. So each load that control can reach without passing the wait is traced
//! to where its address comes from: a table in constant memory's list of addresses (`c[0x4]`), or parameters.

use std::collections::BTreeSet;

use crate::{
    flow::successors,
    sass::{Code, Instruction},
};

/// Where a kernel's parameters begin in constant bank 0 on compute capability 9.0.
const PARAMETERS: u64 = 0x210;

/// A load ahead of the wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlyLoad {
    /// The instruction, as it is printed.
    pub text: String,
    /// Bytes from the first parameter to each that the address comes from. Scalars are among them.
    pub parameters: BTreeSet<u64>,
    /// Whether it comes from the list of tables' addresses.
    pub of_table: bool,
}

/// Every load, copy or atomic of global memory that control can reach from the kernel's beginning without passing the wait.
pub fn loads_before_wait(code: &Code) -> Vec<EarlyLoad> {
    let reached = reached_before_wait(code);
    let indices = reached.iter().enumerate().filter(|(_, reached)| **reached).map(|(index, _)| index);
    let early = |index: usize| {
        let instruction = &code.instructions[index];
        let address = address(instruction)?;
        let mut load = EarlyLoad {
            text: format!("{} {}", instruction.opcode, instruction.operands),
            parameters: BTreeSet::new(),
            of_table: false,
        };
        let mut seen = BTreeSet::new();
        let slice = Slice { code, reached: &reached };
        address.into_iter().for_each(|register| slice.trace(index, &register, &mut seen, &mut load));
        Some(load)
    };
    indices.filter_map(early).collect()
}

fn reached_before_wait(code: &Code) -> Vec<bool> {
    let mut reached = vec![false; code.instructions.len()];
    let mut queue = vec![0];
    while let Some(index) = queue.pop() {
        let Some(instruction) = code.instructions.get(index) else { continue };
        if !std::mem::replace(&mut reached[index], true) && instruction.mnemonic() != "ACQBULK" {
            queue.extend(successors(code, index));
        }
    }
    reached
}

/// The registers of the address in global memory that an instruction reads; nothing where it reads none.
fn address(instruction: &Instruction) -> Option<Vec<String>> {
    let brackets = instruction.operands.split('[').skip(1).filter_map(|part| part.split_once(']'));
    let mut addresses = brackets.map(|(inside, _)| inside).collect::<Vec<_>>();
    let of = match instruction.mnemonic() {
        "LDG" | "LD" | "LDGSTS" | "ATOMG" | "ATOM" => addresses.pop()?,
        // The place in shared memory comes first.
        "UBLKCP" => addresses.get(1).copied()?,
        _ => return None,
    };
    Some(registers(of).flat_map(|register| [next(&register), Some(register)].into_iter().flatten()).collect())
}

/// The code that runs before the wait.
struct Slice<'a> {
    code: &'a Code,
    reached: &'a [bool],
}

impl Slice<'_> {
    /// Follows a register to the instruction that set it last in the order of addresses, and on from there.
    fn trace(&self, from: usize, register: &str, seen: &mut BTreeSet<(usize, String)>, load: &mut EarlyLoad) {
        if !seen.insert((from, register.to_owned())) {
            return;
        }
        for index in (0..from).rev().filter(|&index| self.reached[index]) {
            let instruction = &self.code.instructions[index];
            let (results, sources) = split(instruction);
            if !results.iter().any(|result| result == register) {
                continue;
            }
            sources.split("c[").skip(1).for_each(|bank| note(bank, load));
            let wide = instruction.has("WIDE") || instruction.has("64");
            for source in registers(sources) {
                if let Some(pair) = next(&source).filter(|_| wide) {
                    self.trace(index, &pair, seen, load);
                }
                self.trace(index, &source, seen, load);
            }
            if !instruction.is_conditional() {
                return;
            }
        }
    }
}

/// Takes note of a constant, given from its bank on: `0x0][0x218]…`.
fn note(bank: &str, load: &mut EarlyLoad) {
    let mut numbers = bank.split("][").map(|part| part.split([']', '+']).next().unwrap_or_default());
    let number = |text: Option<&str>| u64::from_str_radix(text?.strip_prefix("0x")?, 16).ok();
    match (number(numbers.next()), number(numbers.next())) {
        (Some(0), Some(offset)) if offset >= PARAMETERS => {
            load.parameters.insert(offset - PARAMETERS);
        }
        (Some(4), _) => load.of_table = true,
        _ => {}
    }
}

/// The registers that an instruction sets, and the text of what it sets them from.
fn split(instruction: &Instruction) -> (Vec<String>, &str) {
    let stores = matches!(
        instruction.mnemonic(),
        "STG" | "STS" | "ST" | "RED" | "LDGSTS" | "UBLKCP" | "SYNCS" | "BRA"
    );
    let operands = instruction.operands.as_str();
    let mut at = 0;
    for operand in operands.split(',') {
        let end = (at + operand.len() + 1).min(operands.len());
        let result = operand.trim();
        if !stores && is_register(result) {
            let count = if instruction.has("128") {
                4
            } else if instruction.has("64") || instruction.has("WIDE") || instruction.mnemonic() == "CS2R" {
                2
            } else {
                1
            };
            let all = std::iter::successors(Some(result.to_owned()), |last| next(last));
            return (all.take(count).collect(), &operands[end..]);
        }
        // Predicates that are set stand beside the result.
        if !result.starts_with(['P', '!']) && !result.starts_with("UP") {
            break;
        }
        at = end;
    }
    (vec![], operands)
}

/// Whether an operand is a register of a warp or its lanes, and not one of zeros.
fn is_register(operand: &str) -> bool {
    let digits = operand.strip_prefix("UR").or_else(|| operand.strip_prefix('R'));
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The registers that a text names.
fn registers(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| is_register(word)).map(str::to_owned)
}

/// The register behind one.
fn next(register: &str) -> Option<String> {
    let digits = register.find(|c: char| c.is_ascii_digit())?;
    let index: u32 = register[digits..].parse().ok()?;
    Some(format!("{}{}", &register[..digits], index.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(lines: &[&str]) -> Code {
        let line =
            |line: &&str| format!("/*0000*/ {line} ; /* 0x0000000000000000 */\n/* 0x000fe20000000000 */\n");
        Code::parse(&lines.iter().map(line).collect::<String>())
    }

    #[test]
    fn loads_ahead_are_traced_to_parameters_and_tables() {
        let code = code(&[
            "LDC.64 R2, c[0x0][0x218]",
            "IMAD.WIDE R4, R0, 0x4, R2",
            "LDG.E R6, desc[UR4][R4.64]",
            "LDC.64 R8, c[0x4][0x10]",
            "LDG.E.CONSTANT R6, desc[UR4][R8.64]",
            "ULDC.64 UR8, c[0x0][0x230]",
            "UBLKCP.S.G [UR12], [UR8], UR7, desc[UR10]",
            "ACQBULK",
            "LDG.E R6, desc[UR4][R8.64]",
        ]);
        let early = loads_before_wait(&code);
        let found: Vec<_> =
            early.iter().map(|load| (load.parameters.iter().copied().collect(), load.of_table)).collect();
        assert_eq!(found, [(vec![8], false), (vec![], true), (vec![0x20], false)]);
        assert!(loads_before_wait(&Code::default()).is_empty());
    }

    #[test]
    fn odd_operands_are_traced_nowhere() {
        for odd in
            ["LDG.E", "LDG.E R1, desc[", "LDG.E R4294967295, [R4294967295]", "LDC R1, c[0xzz][", "IADD3 P0,"]
        {
            assert!(loads_before_wait(&code(&[odd, "LDG.E R6, [R1.64]"])).len() <= 2, "{odd}");
        }
    }
}
