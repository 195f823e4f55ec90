//! Plain-text tables with aligned columns.

/// Rows under a header; numbers (cells that start with a digit, `+`, `-` or `−`) are aligned to the right.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub fn new<const N: usize>(header: [&str; N]) -> Table {
        Table { rows: vec![header.map(String::from).to_vec()] }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows[0].len();
        let width = |c: usize| self.rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let numeric: Vec<bool> =
            (0..columns).map(|c| self.rows[1..].iter().all(|r| is_number(&r[c]))).collect();
        for row in &self.rows {
            let mut line = String::new();
            for c in 0..columns {
                let cell = &row[c];
                line += &if numeric[c] {
                    format!("{cell:>0$}  ", widths[c])
                } else {
                    format!("{cell:<0$}  ", widths[c])
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell == "–" || cell.starts_with(|c: char| c.is_ascii_digit() || "+-−".contains(c))
}
