//! What the limits would have to be, as people read it.

use std::fmt;

use super::Resource;

/// For each limit what it would have to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Infeasibility {
    /// One per limit, in the request's order.
    pub relaxations: Vec<Relaxation>,
}

/// A limit, and the smallest ways to relax it.
#[derive(Clone, Debug, PartialEq)]
pub struct Relaxation {
    /// What is limited.
    pub resource: Resource,
    /// The limit that was asked for, in the resource's unit.
    pub most: f64,
    /// No plan at all spends less than this.
    pub least: f64,
    /// To raise this limit alone to this makes the request feasible; `None` when the other limits exclude each other
    /// or, rarely, when the nodes ran out.
    pub alone: Option<f64>,
    /// To raise every limit to this makes the request feasible: each is raised no more than the ones before it make
    /// necessary. Infinite where the nodes ran out.
    pub together: f64,
}

impl fmt::Display for Infeasibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let impossible: Vec<&Relaxation> = self.relaxations.iter().filter(|r| r.least > r.most).collect();
        for r in &impossible {
            let (least, limit) = (r.resource.unit().show(r.least), r.resource.unit().show(r.most));
            // Rounded, the two may read the same.
            let needs = if least == limit { "a little more than the limit of" } else { "at least" };
            write!(f, "{}: every plan needs {needs} {least}", r.resource)?;
            f.write_str(&if least == limit { ". ".into() } else { format!(", the limit is {limit}. ") })?;
        }
        if impossible.is_empty() {
            let all: Vec<String> = self
                .relaxations
                .iter()
                .map(|r| format!("{} {}", r.resource, r.resource.unit().show(r.most)))
                .collect();
            write!(f, "No plan satisfies all of: {}. ", all.join(", "))?;
        }
        let alone: Vec<String> = self.relaxations.iter().filter_map(|r| r.raised(r.alone?)).collect();
        if alone.is_empty() {
            let together: Vec<String> =
                self.relaxations.iter().filter_map(|r| r.raised(r.together)).collect();
            return write!(f, "No single change is enough; together: {}.", together.join(", "));
        }
        let lead =
            if alone.len() == 1 { "What satisfies all other limits needs" } else { "Any one is enough:" };
        write!(f, "{lead} {}.", alone.join("; "))
    }
}

impl Relaxation {
    /// `weights 45.37 GB (7.37 GB more)`, for a limit that has to be raised.
    fn raised(&self, to: f64) -> Option<String> {
        let unit = self.resource.unit();
        let (to_text, more) = (unit.show(to), unit.show(to - self.most));
        (to > self.most && to.is_finite()).then(|| format!("{} {to_text} ({more} more)", self.resource))
    }
}
