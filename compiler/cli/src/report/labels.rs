//! Names beside the markers of a chart: none over another, over a marker, or beyond the chart.

use super::markup::{Element, el};

/// Height of a line of text, and the width that a letter takes at most.
const LINE: f64 = 15.0;
const LETTER: f64 = 7.5;
/// From a marker's middle to where its name begins: next to it or, where there is no room, farther off.
const BESIDE: [f64; 4] = [9.0, 36.0, 63.0, 90.0];
/// How far above or below its marker a name may stand, and in what steps it is moved.
const REACH: f64 = 130.0;
const STEP: f64 = 4.0;
/// A name farther from its marker than this is joined to it by a line.
const NEAR: f64 = 12.0;

/// A place on the chart, in its units from the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
}

/// A rectangle of the chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// Its upper left corner.
    pub from: Position,
    /// Its lower right corner.
    pub to: Position,
}

impl Area {
    /// All that is no farther than `reach` to the sides, up or down.
    pub fn around(Position { x, y }: Position, reach: f64) -> Area {
        Area { from: Position { x: x - reach, y: y - reach }, to: Position { x: x + reach, y: y + reach } }
    }

    /// Whether both cover some place.
    pub fn meets(&self, other: &Area) -> bool {
        self.from.x < other.to.x
            && other.from.x < self.to.x
            && self.from.y < other.to.y
            && other.from.y < self.to.y
    }

    fn is_within(&self, outer: &Area) -> bool {
        self.from.x >= outer.from.x
            && self.to.x <= outer.to.x
            && self.from.y >= outer.from.y
            && self.to.y <= outer.to.y
    }
}

/// Where names may stand.
pub struct Labels {
    bounds: Area,
    markers: Vec<Area>,
    names: Vec<Area>,
    /// From markers to their names.
    leaders: Vec<Area>,
    /// Covered where there is no other room.
    lines: Vec<Area>,
}

/// A name with its place.
struct Placed<'a> {
    name: &'a str,
    area: Area,
    /// Whether it stands to the right of the marker.
    right: bool,
    /// From the marker to the name, where that is far.
    leader: Option<[Position; 2]>,
}

impl Labels {
    /// A chart without names.
    pub fn new(bounds: Area) -> Labels {
        Labels { bounds, markers: vec![], names: vec![], leaders: vec![], lines: vec![] }
    }

    /// No name will stand over this marker.
    pub fn keep_marker(&mut self, at: Position) {
        self.markers.push(Area::around(at, 6.5));
    }

    /// Names stand over this line only where there is no other room.
    pub fn keep_line(&mut self, points: &[Position]) {
        let pieces = points.windows(2).flat_map(|ends| along(ends[0], ends[1]));
        self.lines.extend(pieces.map(|at| Area::around(at, 3.0)));
    }

    /// The name of a marker as near to it as there is room; `None` where there is none.
    pub fn beside(&mut self, name: &str, marker: Position) -> Option<Element> {
        let candidates = candidates(name, marker);
        let free = |lines: &[Area]| candidates.iter().find(|placed| self.is_free(placed, lines));
        let found = free(&self.lines).or_else(|| free(&[]))?;
        self.leaders.extend(found.leader_areas());
        self.names.push(found.area);
        Some(found.drawn())
    }

    fn is_free(&self, placed: &Placed<'_>, lines: &[Area]) -> bool {
        let area = &placed.area;
        let mut covered = self.markers.iter().chain(&self.names).chain(&self.leaders).chain(lines);
        area.is_within(&self.bounds)
            && !covered.any(|other| other.meets(area))
            && !placed.leader_areas().any(|piece| self.names.iter().any(|name| name.meets(&piece)))
    }
}

/// Places for a name, the nearest first; of those as far, that to the right.
fn candidates(name: &str, marker: Position) -> Vec<Placed<'_>> {
    let heights = (0..=(REACH / STEP) as u32).map(|n| f64::from(n) * STEP).flat_map(|away| [-away, away]);
    let sides = || BESIDE.into_iter().flat_map(|beside| [beside, -beside]);
    let mut offsets: Vec<(f64, f64)> = heights.flat_map(|dy| sides().map(move |dx| (dx, dy))).collect();
    offsets.sort_by(|a, b| (a.0.abs() + a.1.abs()).total_cmp(&(b.0.abs() + b.1.abs())));
    offsets.into_iter().map(|(dx, dy)| Placed::new(name, marker, dx, dy)).collect()
}

/// Points on the way, a few units apart.
fn along(from: Position, to: Position) -> impl Iterator<Item = Position> {
    let (dx, dy) = (to.x - from.x, to.y - from.y);
    let pieces = (dx.hypot(dy) / 4.0).ceil().max(1.0) as u32;
    (0..=pieces).map(move |n| {
        let share = f64::from(n) / f64::from(pieces);
        Position { x: from.x + share * dx, y: from.y + share * dy }
    })
}

impl<'a> Placed<'a> {
    /// A name that begins `dx` beside its marker's middle, or ends there if that is negative, `dy` below it.
    fn new(name: &'a str, marker: Position, dx: f64, dy: f64) -> Placed<'a> {
        let length = LETTER * name.len() as f64;
        let (near, y, right) = (marker.x + dx, marker.y + dy, dx > 0.0);
        let left = if right { near } else { near - length };
        let area = Area {
            from: Position { x: left, y: y - LINE / 2.0 },
            to: Position { x: left + length, y: y + LINE / 2.0 },
        };
        let end = Position { x: near - 2.0 * dx.signum(), y };
        let (ex, ey) = (end.x - marker.x, end.y - marker.y);
        // The line begins at the edge of the marker.
        let share = 7.0 / ex.hypot(ey);
        let start = Position { x: marker.x + share * ex, y: marker.y + share * ey };
        let is_far = dy.abs() > NEAR || dx.abs() > BESIDE[0];
        Placed { name, area, right, leader: is_far.then_some([start, end]) }
    }

    /// What the line to the marker covers.
    fn leader_areas(&self) -> impl Iterator<Item = Area> + use<> {
        let pieces = self.leader.into_iter().flat_map(|[from, to]| along(from, to));
        pieces.map(|at| Area::around(at, 1.0))
    }

    fn drawn(&self) -> Element {
        let line = self.leader.map(|[a, b]| {
            let way = format!("M{:.1} {:.1} L{:.1} {:.1}", a.x, a.y, b.x, b.y);
            el("path").class("leader").attr("d", way)
        });
        let (class, x) = if self.right { ("start", self.area.from.x) } else { ("end", self.area.to.x) };
        let text = el("text")
            .class(class)
            .attr("x", format!("{x:.1}"))
            .attr("y", format!("{:.1}", self.area.to.y - 3.5));
        el("g").all(line).add(text.text(self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::{Area, Labels, Position};

    const CHART: Area = Area { from: Position { x: 46.0, y: 16.0 }, to: Position { x: 350.0, y: 294.0 } };

    /// Names on the narrow chart beside markers at these places, each with its area where it has one.
    fn placed(markers: &[(f64, f64)]) -> (Labels, Vec<Option<String>>) {
        let mut labels = Labels::new(CHART);
        let at = |&(x, y): &(f64, f64)| Position { x, y };
        markers.iter().map(at).for_each(|marker| labels.keep_marker(marker));
        let names =
            markers.iter().map(|m| labels.beside("fp8_e4m3_tensor", at(m)).map(|name| name.to_string()));
        let names = names.collect();
        (labels, names)
    }

    #[test]
    fn no_name_covers_another_or_a_marker_however_close_they_are() {
        let crowd: Vec<(f64, f64)> =
            (0..17).map(|n| (60.0 + 3.0 * f64::from(n), 280.0 - 11.0 * f64::from(n))).collect();
        let (labels, names) = placed(&crowd);
        assert!(names.iter().flatten().count() >= 12, "only {} have room", names.iter().flatten().count());
        let Labels { markers, names, .. } = labels;
        for (index, name) in names.iter().enumerate() {
            assert!(!markers.iter().any(|marker| marker.meets(name)), "{name:?} is over a marker");
            assert!(!names[..index].iter().any(|other| other.meets(name)), "{name:?} is over a name");
            assert!(name.is_within(&CHART), "{name:?} leaves the chart");
        }
    }

    #[test]
    fn a_name_that_stands_apart_is_joined_to_its_marker() {
        let (_, names) = placed(&[(150.0, 150.0), (150.0, 152.0), (150.0, 154.0), (150.0, 156.0)]);
        let leaders = names.iter().flatten().filter(|name| name.contains("class=\"leader\"")).count();
        assert!(leaders > 0 && names.iter().all(Option::is_some), "{names:?}");
    }

    #[test]
    fn a_name_near_the_right_edge_stands_to_the_left_and_one_without_room_is_left_out() {
        let (_, names) = placed(&[(345.0, 150.0)]);
        assert!(names[0].as_ref().unwrap().contains("class=\"end\""), "{names:?}");
        let mut full = Labels::new(CHART);
        full.names.push(CHART);
        assert!(full.beside("nf4", Position { x: 150.0, y: 150.0 }).is_none());
    }

    #[test]
    fn names_keep_off_lines_where_there_is_room() {
        let mut labels = Labels::new(CHART);
        labels.keep_line(&[Position { x: 100.0, y: 150.0 }, Position { x: 340.0, y: 150.0 }]);
        labels.beside("nf4", Position { x: 150.0, y: 150.0 }).unwrap();
        assert!(!labels.lines.iter().any(|piece| piece.meets(&labels.names[0])));
    }
}
