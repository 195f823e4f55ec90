//! Control flow of a kernel: its main loop, and the way that a warp usually takes around it.

use crate::sass::{Code, Instruction};

/// Where control goes after an instruction.
pub(crate) fn successors(code: &Code, index: usize) -> impl Iterator<Item = usize> {
    let instruction = &code.instructions[index];
    let target = code.target(index);
    let ends = matches!(instruction.mnemonic(), "EXIT" | "RET" | "BRX" | "KILL")
        || (instruction.mnemonic() == "BRA" && target.is_some());
    let falls_through = !ends || instruction.is_conditional();
    let next = Some(index + 1).filter(|next| falls_through && *next < code.instructions.len());
    next.into_iter().chain(target)
}

/// A loop: what lies on some way from its head to the branch that leads back there.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    pub head: usize,
    pub back: usize,
    /// Whether each instruction of the code belongs to it.
    body: Vec<bool>,
}

impl Loop {
    /// The natural loop of a branch back; nothing where the branch does not lead back, or the loop can be entered elsewhere: code
    /// that was moved behind the rest jumps back, too.
    fn of_branch(code: &Code, predecessors: &[Vec<usize>], back: usize) -> Option<Loop> {
        let head = code.target(back).filter(|head| *head <= back)?;
        if reaches_around(code, back, head) {
            return None;
        }
        let mut body = vec![false; code.instructions.len()];
        body[head] = true;
        let mut queue = vec![back];
        while let Some(index) = queue.pop() {
            if !std::mem::replace(&mut body[index], true) {
                queue.extend(&predecessors[index]);
            }
        }
        Some(Loop { head, back, body })
    }

    pub fn holds(&self, index: usize) -> bool {
        self.body.get(index).copied().unwrap_or(false)
    }

    fn size(&self) -> usize {
        self.body.iter().filter(|held| **held).count()
    }

    /// How many of its instructions are of a kind.
    pub fn count(&self, code: &Code, is: impl Fn(&Instruction) -> bool) -> usize {
        code.instructions
            .iter()
            .zip(&self.body)
            .filter(|(instruction, held)| **held && is(instruction))
            .count()
    }
}

/// Whether control can come from the code's beginning to an instruction without passing another.
fn reaches_around(code: &Code, to: usize, around: usize) -> bool {
    let mut seen = vec![false; code.instructions.len()];
    let mut queue = vec![0];
    while let Some(index) = queue.pop() {
        if index != around && !std::mem::replace(&mut seen[index], true) {
            queue.extend(successors(code, index));
        }
    }
    seen[to]
}

/// Every loop of the code, in the order of the branches back.
pub(crate) fn loops(code: &Code) -> Vec<Loop> {
    let count = code.instructions.len();
    let mut predecessors = vec![vec![]; count];
    for index in 0..count {
        successors(code, index).for_each(|next| predecessors[next].push(index));
    }
    (0..count).filter_map(|back| Loop::of_branch(code, &predecessors, back)).collect()
}

/// The smallest loop among those that hold the most instructions of a kind, if any holds one.
pub(crate) fn loop_with_most(code: &Code, is: impl Fn(&Instruction) -> bool) -> Option<Loop> {
    let counted = loops(code).into_iter().map(|found| (found.count(code, &is), found));
    let best = counted.min_by_key(|(count, found)| (std::cmp::Reverse(*count), found.size()))?;
    (best.0 > 0).then_some(best.1)
}

/// What a way around a loop is judged by, the first first: matrix instructions, as many as can be; what ends a tile of results,
/// as little as can be; asynchronous copies, as many as are wanted; and instructions, as few as can be.
type Merit = (i64, i64, i64, i64);

/// The best way onward from an instruction: its merit, and the next instruction with the copies wanted from there on.
#[derive(Clone, Copy)]
struct Onward {
    merit: Merit,
    next: usize,
    wanted: usize,
}

/// Whether it multiplies matrices.
pub fn is_matrix(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), "HMMA" | "HGMMA" | "QGMMA" | "IMMA" | "QMMA")
}

/// Whether it copies from global to shared memory asynchronously.
pub fn is_copy(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), "LDGSTS" | "UBLKCP") && !instruction.is_never_executed()
}

/// The way that a warp usually takes once around a loop, from its head to the branch back: with all of the products, without
/// what ends a tile, and with so many copies, where it can have them: code for more of them is a loop that was unrolled, which a
/// warp leaves early. Inner loops are passed at most once.
pub(crate) fn usual_path(code: &Code, around: &Loop, copies: usize) -> Vec<usize> {
    let one = |is: bool| i64::from(is);
    // For each instruction and number of copies still wanted.
    let mut best: Vec<Vec<Option<Onward>>> = vec![vec![]; code.instructions.len()];
    for index in (around.head..=around.back).rev().filter(|&index| around.holds(index)) {
        let instruction = &code.instructions[index];
        let ends_tile =
            matches!(instruction.mnemonic(), "STG" | "ATOMG" | "ATOM" | "RED" | "MEMBAR" | "EXIT");
        let of = |wanted: usize| {
            let copies = usize::from(is_copy(instruction)).min(wanted);
            let own = (one(is_matrix(instruction)), -one(ends_tile), copies as i64, -1);
            if index == around.back {
                return Some(Onward { merit: own, next: index, wanted });
            }
            let wanted = wanted - copies;
            let nexts = successors(code, index).filter(|next| *next > index && around.holds(*next));
            let onward = nexts.filter_map(|next| {
                let then = best[next].get(wanted)?.as_ref()?.merit;
                let merit = (own.0 + then.0, own.1 + then.1, own.2 + then.2, own.3 + then.3);
                Some(Onward { merit, next, wanted })
            });
            onward.max_by_key(|onward| (onward.merit, std::cmp::Reverse(onward.next)))
        };
        best[index] = (0..=copies).map(of).collect();
    }
    let (mut path, mut at, mut wanted) = (vec![], around.head, copies);
    while let Some(Some(onward)) = best.get(at).and_then(|onward| onward.get(wanted)) {
        path.push(at);
        if onward.next == at {
            return path;
        }
        (at, wanted) = (onward.next, onward.wanted);
    }
    vec![]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code of one instruction a line; `.L_x_N:` lines are labels.
    pub(crate) fn code(text: &str) -> Code {
        let line = |line: &str| match line.trim() {
            label if label.ends_with(':') => format!("{label}\n"),
            text => format!("/*0000*/ {text} ; /* 0x0000000000000000 */\n/* 0x000fe20000000000 */\n"),
        };
        Code::parse(&text.trim().lines().map(line).collect::<String>())
    }

    const TILE: &str = "S2R R0, SR_TID.X
        .L_x_1:
        @P0 BRA `(.L_x_2)
        LDGSTS.E.128 [R1], desc[UR4][R2.64]
        .L_x_2:
        HMMA.16816.F32 R4, R4, R8, R4
        @P1 BRA `(.L_x_3)
        BAR.SYNC 0x0
        STG.E [R2.64], R4
        .L_x_3:
        @P2 BRA `(.L_x_1)
        EXIT";

    #[test]
    fn the_usual_way_has_the_copies_and_leaves_out_what_ends_a_tile() {
        let code = code(TILE);
        let main = loop_with_most(&code, is_matrix).expect("a loop");
        assert_eq!((main.head, main.back), (1, 7));
        let path: Vec<&str> = usual_path(&code, &main, 1)
            .into_iter()
            .map(|index| code.instructions[index].mnemonic())
            .collect();
        assert_eq!(path, ["BRA", "LDGSTS", "HMMA", "BRA", "BRA"]);
    }

    #[test]
    fn no_more_copies_are_made_than_are_wanted() {
        let unrolled =
            TILE.replace(".L_x_2:", "@P3 BRA `(.L_x_2)\nLDGSTS.E.128 [R1], desc[UR4][R2.64]\n.L_x_2:");
        let code = code(&unrolled);
        let main = loop_with_most(&code, is_matrix).expect("a loop");
        let copies = |wanted| {
            let path = usual_path(&code, &main, wanted);
            path.iter().filter(|&&index| is_copy(&code.instructions[index])).count()
        };
        assert_eq!([0, 1, 2, 9].map(copies), [0, 1, 2, 2]);
    }

    #[test]
    fn a_jump_back_from_behind_the_rest_makes_no_loop() {
        let moved = "BRA `(.L_x_2)
            .L_x_1:
            HMMA.16816.F32 R4, R4, R8, R4
            EXIT
            .L_x_2:
            @P0 BRA `(.L_x_3)
            BRA `(.L_x_1)
            .L_x_3:
            BRA `(.L_x_1)";
        assert!(loops(&code(&format!("@P1 BRA `(.L_x_1)\n{moved}"))).is_empty());
    }

    #[test]
    fn code_without_loops_has_none() {
        assert!(loop_with_most(&code("HMMA R0, R0, R0, R0\nEXIT"), is_matrix).is_none());
        assert!(loop_with_most(&Code::default(), is_matrix).is_none());
        assert!(loop_with_most(&code(".L_x_1:\nBRA `(.L_x_1)"), is_matrix).is_none());
    }
}
