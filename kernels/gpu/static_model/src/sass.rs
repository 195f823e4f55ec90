//! Machine code (SASS) as `nvdisasm -c -hex` prints it: instructions with the control fields that the assembler encoded.
//!
//! From Volta on an instruction takes 128 bits. Bits 105 to 125 tell the scheduler what hardware does not find out by itself:
//! clocks to wait before the warp's next instruction, which of six scoreboards the instruction holds until it has written or
//! read its registers, and which it waits for first (Jia et al., "Dissecting the NVIDIA Volta GPU Architecture via
//! Microbenchmarking", 2018, section 2.1).

use std::collections::HashMap;

/// How many scoreboards a warp has.
pub const SCOREBOARDS: usize = 6;

/// What an instruction tells the scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Clocks before the warp's next instruction may issue.
    pub stall: u8,
    /// The scoreboard that is held until results are written.
    pub write: Option<usize>,
    /// The scoreboard that is held until operands are read.
    pub read: Option<usize>,
    /// Scoreboards that must be free first, a bit for each.
    pub wait: u8,
}

impl Control {
    /// The fields of an instruction, given the upper half of its 128 bits.
    fn decode(upper: u64) -> Control {
        let field = |bit: u32, bits: u32| upper >> bit & ((1 << bits) - 1);
        let scoreboard = |bit: u32| Some(field(bit, 3) as usize).filter(|&index| index < SCOREBOARDS);
        Control {
            stall: field(41, 4) as u8,
            write: scoreboard(46),
            read: scoreboard(49),
            wait: field(52, 6) as u8,
        }
    }

    /// The scoreboards of `wait`.
    pub fn waits(self) -> impl Iterator<Item = usize> {
        (0..SCOREBOARDS).filter(move |index| self.wait >> index & 1 == 1)
    }
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The predicate that guards it, as `P0` or `!P0`; of an unconditional one nothing.
    pub guard: Option<String>,
    /// Mnemonic with its modifiers, as `LDS.128`.
    pub opcode: String,
    /// Operands as printed, results first.
    pub operands: String,
    /// What it tells the scheduler.
    pub control: Control,
}

impl Instruction {
    /// The mnemonic without modifiers.
    pub fn mnemonic(&self) -> &str {
        self.opcode.split('.').next().unwrap_or_default()
    }

    /// Whether the mnemonic has this modifier.
    pub fn has(&self, modifier: &str) -> bool {
        self.opcode.split('.').skip(1).any(|part| part == modifier)
    }

    /// Whether it never does anything: the assembler pads some sequences so.
    pub fn is_never_executed(&self) -> bool {
        self.guard.as_deref() == Some("!PT")
    }

    /// Whether control may pass it by.
    pub fn is_conditional(&self) -> bool {
        self.guard.as_deref().is_some_and(|guard| guard != "PT")
            // Some branches have a second predicate among the operands.
            || (self.mnemonic() == "BRA" && self.operands.split(',').count() > 1)
    }
}

/// The code of one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// Instructions in the order of their addresses.
    pub instructions: Vec<Instruction>,
    labels: HashMap<String, usize>,
}

impl Code {
    /// Reads a disassembly. Lines that are neither instructions nor labels are passed over, whatever they hold.
    pub fn parse(text: &str) -> Code {
        let mut code = Code::default();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(label) = label(line) {
                code.labels.insert(label.to_owned(), code.instructions.len());
            } else if let Some((guard, opcode, operands)) = instruction(line) {
                // The upper half stands alone on the next line.
                let upper = lines.next_if(|next| instruction(next).is_none()).and_then(encoding);
                let control = upper.map(Control::decode).unwrap_or_default();
                let operands = operands.to_owned();
                code.instructions.push(Instruction { guard, opcode: opcode.to_owned(), operands, control });
            }
        }
        code
    }

    /// Where a branch leads: the index of an instruction. Nothing where the instruction is no branch.
    pub fn target(&self, index: usize) -> Option<usize> {
        let instruction = self.instructions.get(index).filter(|i| i.mnemonic() == "BRA")?;
        let (_, rest) = instruction.operands.split_once("`(")?;
        let target = *self.labels.get(rest.split_once(')')?.0)?;
        (target < self.instructions.len()).then_some(target)
    }
}

/// The label of a line like `.L_x_12:`.
fn label(line: &str) -> Option<&str> {
    line.strip_suffix(':').filter(|label| label.starts_with(".L_x_"))
}

/// Guard, mnemonic and operands of a line like `/*0010*/ @!P0 BRA `(.L_x_1) ; /* 0x… */`.
fn instruction(line: &str) -> Option<(Option<String>, &str, &str)> {
    let (address, rest) = line.trim_start().strip_prefix("/*")?.split_once("*/")?;
    if address.len() < 4 || !address.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let (text, _) = rest.split_once(';')?;
    let text = text.trim();
    let (guard, text) = match text.strip_prefix('@') {
        Some(guarded) => {
            let (guard, text) = guarded.split_once(' ')?;
            (Some(guard.to_owned()), text.trim_start())
        }
        None => (None, text),
    };
    let (opcode, operands) = text.split_once(' ').unwrap_or((text, ""));
    let named = opcode.starts_with(|first: char| first.is_ascii_uppercase());
    named.then_some((guard, opcode, operands.trim()))
}

/// The number in a line like `/* 0x000fe20000000f00 */`.
fn encoding(line: &str) -> Option<u64> {
    let digits = line.trim().strip_prefix("/* 0x")?.strip_suffix("*/")?.trim();
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "\t.section .text.f\n.text.f:\n\
        \x20       /*0000*/                   LDC R1, c[0x0][0x28] ;                /* 0x00000a00ff017b82 */\n\
        \x20                                                                        /* 0x000e620000000a00 */\n\
        .L_x_1:\n\
        \x20       /*0010*/              @!P0 BRA `(.L_x_1) ;                       /* 0xfffffffc00fc8947 */\n\
        \x20                                                                        /* 0x022fea000383ffff */\n\
        \x20       /*0020*/                   EXIT ;                                /* 0x000000000000794d */\n\
        \x20                                                                        /* 0x000fea0003800000 */\n";

    #[test]
    fn instructions_are_read_with_their_control_fields() {
        let code = Code::parse(TEXT);
        let [load, branch, exit] = &code.instructions[..] else { panic!("{code:?}") };
        assert_eq!((load.opcode.as_str(), load.operands.as_str()), ("LDC", "R1, c[0x0][0x28]"));
        assert_eq!(load.control, Control { stall: 1, write: Some(1), read: None, wait: 0 });
        assert_eq!(branch.guard.as_deref(), Some("!P0"));
        assert_eq!((branch.control.stall, branch.control.wait), (5, 0b10_0010));
        assert_eq!(branch.control.waits().collect::<Vec<_>>(), [1, 5]);
        assert_eq!((code.target(1), code.target(0), code.target(9)), (Some(1), None, None));
        assert!(branch.is_conditional() && !exit.is_conditional());
        assert_eq!(exit.operands, "");
    }

    proptest! {
        /// Whatever the text, reading it ends, and branches lead nowhere outside of the code.
        #[test]
        fn odd_text_is_passed_over(text in "([ \\n/*@;:`().,A-Zx0-9_L]|/\\*0010\\*/|\\.L_x_1:?\\n|é|;){0,200}") {
            let code = Code::parse(&text);
            for index in 0..=code.instructions.len() {
                prop_assert!(code.target(index).is_none_or(|target| target < code.instructions.len()));
            }
        }

        /// A disassembly that breaks off anywhere is read as far as it goes.
        #[test]
        fn text_that_breaks_off_is_read_as_far_as_it_goes(end in 0..TEXT.len()) {
            prop_assert!(Code::parse(&TEXT[..end]).instructions.len() <= 3);
        }
    }
}
