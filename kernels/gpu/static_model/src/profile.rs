//! What one warp's usual way around a loop takes.

use crate::{
    ModelError,
    flow::{is_matrix, loop_with_most, usual_path},
    pipe::{Pipe, columns, row_elements, wavefronts},
    sass::{Code, Instruction},
};

/// The instructions of a warp's round, in order, and their sums.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// What is issued.
    pub path: Vec<Instruction>,
    /// Issue slots by pipe, in the order of [`Pipe::ALL`].
    pub slots: [u64; Pipe::ALL.len()],
    /// Wavefronts of shared memory.
    pub wavefronts: u64,
}

impl Profile {
    /// Of the loop that holds the most matrix instructions, where a round starts so many copies.
    pub fn of_main_loop(code: &Code, copies: usize) -> Result<Profile, ModelError> {
        let main = loop_with_most(code, is_matrix).ok_or(ModelError::Loop("multiplies matrices"))?;
        Ok(Profile::of(code, &usual_path(code, &main, copies)))
    }

    pub(crate) fn of(code: &Code, path: &[usize]) -> Profile {
        let path: Vec<Instruction> = path.iter().map(|&index| code.instructions[index].clone()).collect();
        let mut slots = [0; Pipe::ALL.len()];
        path.iter().for_each(|instruction| slots[Pipe::of(instruction) as usize] += 1);
        let wavefronts = path.iter().map(wavefronts).sum();
        Profile { path, slots, wavefronts }
    }

    /// Issue slots of a pipe.
    pub fn slots_of(&self, pipe: Pipe) -> u64 {
        self.slots[pipe as usize]
    }

    /// Issue slots of all pipes.
    pub fn all_slots(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// How many matrix instructions.
    pub fn products(&self) -> u64 {
        self.slots_of(Pipe::Matrix)
    }

    /// Elements of the row operand that are multiplied with `tokens` columns each: what several instructions take with other
    /// columns counts once.
    pub fn row_elements(&self, tokens: u64) -> u64 {
        let matrix = self.path.iter().filter(|instruction| is_matrix(instruction));
        matrix.map(|product| row_elements(product) / (tokens / columns(product).max(1)).max(1)).sum()
    }
}
