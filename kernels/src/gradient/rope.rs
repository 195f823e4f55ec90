//! Rotary position embedding, forward and back, by a table.

/// Cosines and sines of each position and frequency.
pub struct RopeTable {
    /// Frequencies: of a head's channels, twice as many are turned.
    half: usize,
    /// `[positions, half]` pairs of cosine and sine.
    turns: Vec<[f32; 2]>,
}

impl RopeTable {
    /// The table of positions below `positions`, with cosines and sines times `scale`.
    pub fn new(inv_frequencies: &[f64], scale: f64, positions: usize) -> RopeTable {
        let turn = |position: usize, frequency: &f64| {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            [(scale * cos) as f32, (scale * sin) as f32]
        };
        let of_position = |position| inv_frequencies.iter().map(move |frequency| turn(position, frequency));
        let turns = (0..positions).flat_map(of_position).collect();
        RopeTable { half: inv_frequencies.len(), turns }
    }

    /// Turns a head at a position, as the kernels do.
    pub fn turn(&self, position: usize, head: &mut [f32]) {
        self.rotate(position, head, 1.0);
    }

    /// Turns the gradient of a turned head to that of the head.
    pub fn turn_back(&self, position: usize, gradient: &mut [f32]) {
        self.rotate(position, gradient, -1.0);
    }

    fn rotate(&self, position: usize, head: &mut [f32], direction: f32) {
        let (first, rest) = head.split_at_mut(self.half);
        let turns = &self.turns[position * self.half..][..self.half];
        for ((a, b), [cos, sin]) in first.iter_mut().zip(rest).zip(turns) {
            let sin = direction * sin;
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }
}
