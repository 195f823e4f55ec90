//! The front as a chart, drawn for wide, middling and narrow pages, with its numbers as a table.

use super::{
    ReportInputs,
    figures::{nats, power_of_ten},
    front::{Front, Point, UniformPoint},
    labels::{Area, Labels, Position},
    markup::{Element, el},
    scale::LogScale,
    section::{Section, section},
    table::{
        Column::{Number, Text},
        number, row, table,
    },
};
use samp_compiler::{certificate::Uniform, lower::size::Bytes};

/// Bits per weight that are worth a tick.
const BITS: [f64; 12] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 32.0];
/// The least distance of two ticks' labels, of those below the chart and of those beside it.
const TICK_ROOM: f64 = 62.0;
const DECADE_ROOM: f64 = 18.0;
/// Margins of the plot.
const LEFT: f64 = 46.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 56.0;

/// The front with its table.
pub fn scatter(inputs: &ReportInputs<'_>, front: &Front) -> Option<Section> {
    let quality = inputs.quality()?;
    let audited = quality.held_out.overall.kl_nats;
    let best_uniform = quality.best_uniform.as_ref();
    let weights = inputs.certificate.decoder_linears.weights as f64;
    let chart = Chart { front, audited, best_uniform, weights };
    let note = "The line joins plans that were solved for, each with the least predicted loss for its bytes. Embedding and \
                head keep the formats that they have here. A uniform plan without room for its name is in the numbers below.";
    let wide = Size { width: 1160.0, height: 460.0 };
    let middle = Size { width: 640.0, height: 420.0 };
    let narrow = Size { width: 350.0, height: 350.0 };
    let drawn = [("wide-only", wide), ("middle-only", middle), ("narrow-only", narrow)]
        .into_iter()
        .filter_map(|(class, size)| Some(chart.draw(size)?.class(class)));
    let rows = el("details").add(el("summary").text("The numbers behind the chart")).add(numbers(
        front,
        audited,
        best_uniform,
    ));
    Some(section("front", "Bytes against loss", note).add(key()).all(drawn).add(rows))
}

fn key() -> Element {
    let entries = [
        ("plan", "this plan, predicted"),
        ("audited", "this plan, audited"),
        ("line", "best plans, predicted"),
        ("uniform", "uniform plans, predicted"),
        ("uniform-audited", "best uniform plan, audited"),
    ];
    let entry = |(shape, name): (&'static str, &'static str)| {
        let svg = el("svg").attr("viewBox", "0 0 16 16").attr("aria-hidden", "true").class("icon");
        let icon = match shape {
            "line" => el("path").class("line").attr("d", "M1 4 L15 12"),
            _ => marker(shape, Position { x: 8.0, y: 8.0 }),
        };
        el("li").add(svg.add(icon)).text(name)
    };
    el("ul").class("legend").all(entries.map(entry))
}

/// The size of a chart.
#[derive(Clone, Copy)]
struct Size {
    width: f64,
    height: f64,
}

fn marker(shape: &'static str, at: Position) -> Element {
    let Position { x, y } = at;
    match shape {
        "plan" | "audited" => circle(shape, at, 5.5),
        _ => el("path")
            .class(shape)
            .attr("d", format!("M{x:.1} {:.1} l5.5 5.5 l-5.5 5.5 l-5.5 -5.5 z", y - 5.5)),
    }
}

fn circle(class: &str, at: Position, radius: f64) -> Element {
    let Position { x, y } = at;
    el("circle").class(class).attr("cx", format!("{x:.1}")).attr("cy", format!("{y:.1}")).attr("r", radius)
}

struct Chart<'a> {
    front: &'a Front,
    audited: f64,
    best_uniform: Option<&'a Uniform>,
    /// Weights that the bits are counted over.
    weights: f64,
}

/// Where values stand on a chart of this size.
#[derive(Clone, Copy)]
struct Axes {
    bits: LogScale,
    nats: LogScale,
    size: Size,
}

impl Axes {
    fn position(self, bits: f64, nats: f64) -> Position {
        Position { x: self.bits.at(bits), y: self.nats.at(nats) }
    }

    fn of_point(self, point: &Point) -> Position {
        self.position(point.bits, point.nats)
    }
}

impl Chart<'_> {
    fn draw(&self, size: Size) -> Option<Element> {
        let (front, Size { width, height }) = (self.front, size);
        let uniform = || front.uniform.iter().map(|uniform| &uniform.point);
        let points = || front.best.iter().chain(uniform()).chain([&front.chosen]);
        let best_uniform = self.best_uniform.map(|uniform| uniform.kl_nats);
        let losses = points().map(|p| p.nats).chain([self.audited]).chain(best_uniform);
        let bits = LogScale::over(points().map(|p| p.bits), LEFT, width - RIGHT)?.widened(1.04);
        let nats = LogScale::over(losses, height - BOTTOM, TOP)?.to_decades();
        let axes = Axes { bits, nats, size };
        let svg = el("svg")
            .attr("viewBox", format!("0 0 {width} {height}"))
            .attr("role", "img")
            .add(el("title").text("Predicted loss against bytes"))
            .add(el("desc").text(self.description()));
        Some(self.marks(self.axes(svg, axes), axes))
    }

    fn description(&self) -> String {
        let Point { bytes, bits, nats: loss } = self.front.chosen;
        format!(
            "This plan takes {} ({bits:.3} bits per weight) and loses {} nats per token \
             as predicted, {} as audited",
            Bytes(bytes as u64),
            nats(loss),
            nats(self.audited)
        )
    }

    fn axes(&self, mut svg: Element, axes: Axes) -> Element {
        let Axes { bits: x, nats: y, size: Size { width, height } } = axes;
        let (bottom, text) = (height - BOTTOM, |class: &str, x: f64, y: f64| {
            el("text").class(class).attr("x", format!("{x:.1}")).attr("y", format!("{y:.1}"))
        });
        let decades = y.decades();
        let apart = (bottom - TOP) / decades.len().max(2) as f64;
        for decade in decades.into_iter().step_by((DECADE_ROOM / apart).ceil().max(1.0) as usize) {
            let at = y.at(10f64.powi(decade));
            svg = svg
                .add(path("gridline", &format!("M{LEFT} {at:.1} H{:.1}", width - RIGHT)))
                .add(text("tick end", LEFT - 6.0, at + 4.0).text(power_of_ten(decade)));
        }
        let mut last = f64::NEG_INFINITY;
        for bits in BITS.into_iter().filter(|&bits| x.holds(bits)) {
            let at = x.at(bits);
            if at - last < TICK_ROOM {
                continue;
            }
            last = at;
            let bytes = self.front.chosen.bytes + (bits - self.front.chosen.bits) * self.weights / 8.0;
            svg = svg
                .add(path("gridline", &format!("M{at:.1} {TOP} V{bottom:.1}")))
                .add(text("tick middle", at, bottom + 17.0).text(format!("{bits} bits")))
                .add(text("tick middle faint", at, bottom + 33.0).text(Bytes(bytes.max(0.0) as u64)));
        }
        svg.add(
            text("tick end", width - RIGHT, height - 6.0)
                .text("bits per decoder weight, bytes of all weights"),
        )
        .add(text("tick", LEFT, 12.0).text("nats per token"))
    }

    fn marks(&self, mut svg: Element, axes: Axes) -> Element {
        let place = |point: &Point| axes.of_point(point);
        let points: Vec<Position> = self.front.best.iter().map(place).collect();
        let line = points.iter().enumerate();
        let line =
            line.map(|(n, Position { x, y })| format!("{}{x:.1} {y:.1}", if n == 0 { "M" } else { "L" }));
        svg = svg.add(path("line", &line.collect::<Vec<_>>().join(" ")));
        for point in &self.front.best {
            svg = svg.add(circle("dot", place(point), 2.2).add(el("title").text(said("best plan", point))));
        }
        let mut labels = self.labels(axes);
        labels.keep_line(&points);
        for UniformPoint { format, point } in &self.front.uniform {
            let title = el("title").text(said(&format!("uniform {format}"), point));
            let name = labels.beside(format.name(), place(point));
            svg = svg.add(marker("uniform", place(point)).add(title)).all(name);
        }
        if let Some(&Uniform { format, bits_per_weight: bits, kl_nats: loss }) = self.best_uniform {
            let title = format!("uniform {format}, audited: {bits:.3} bits per weight, {} nats", nats(loss));
            let at = axes.position(bits, loss);
            svg = svg.add(marker("uniform-audited", at).add(el("title").text(title)));
        }
        let [predicted, measured] = self.own(axes);
        let audited = format!("this plan, audited: {} nats", nats(self.audited));
        let between = format!("M{:.1} {:.1} V{:.1}", predicted.x, predicted.y, measured.y);
        svg.add(path("between", &between))
            .add(marker("audited", measured).add(el("title").text(audited)))
            .add(marker("plan", predicted).add(el("title").text(said("this plan", &self.front.chosen))))
    }

    /// Where this plan stands as predicted, and as audited.
    fn own(&self, axes: Axes) -> [Position; 2] {
        [axes.of_point(&self.front.chosen), axes.position(self.front.chosen.bits, self.audited)]
    }

    /// Labels that keep off every marker; none is placed yet.
    fn labels(&self, axes: Axes) -> Labels {
        let Size { width, height } = axes.size;
        let from = Position { x: LEFT, y: TOP - 6.0 };
        let mut labels = Labels::new(Area { from, to: Position { x: width, y: height - BOTTOM } });
        let uniform = self.front.uniform.iter().map(|uniform| axes.of_point(&uniform.point));
        let best = self.best_uniform.map(|best| axes.position(best.bits_per_weight, best.kl_nats));
        uniform.chain(best).chain(self.own(axes)).for_each(|at| labels.keep_marker(at));
        labels
    }
}

fn path(class: &str, drawn: &str) -> Element {
    el("path").class(class).attr("d", drawn)
}

fn said(what: &str, point: &Point) -> String {
    format!(
        "{what}: {:.3} bits per weight, {}, {} nats predicted",
        point.bits,
        Bytes(point.bytes as u64),
        nats(point.nats)
    )
}

fn numbers(front: &Front, audited: f64, best_uniform: Option<&Uniform>) -> Element {
    let line = |what: String, point: &Point, measured: Option<f64>| {
        let cells = [
            number(format!("{:.3}", point.bits)),
            number(Bytes(point.bytes as u64)),
            number(nats(point.nats)),
            number(measured.map_or("–".into(), nats)),
        ];
        row(&what, cells)
    };
    let own = line("this plan".into(), &front.chosen, Some(audited));
    let uniform = front.uniform.iter().map(|UniformPoint { format, point }| {
        let measured = best_uniform.filter(|best| best.format == *format).map(|best| best.kl_nats);
        line(format!("uniform {format}"), point, measured)
    });
    let best = front.best.iter().map(|point| line("best plan".into(), point, None));
    table(
        "Plans by bytes and loss in nats per token",
        &[Text("plan"), Number("bits per weight"), Number("bytes"), Number("predicted"), Number("audited")],
        [own].into_iter().chain(uniform).chain(best),
    )
}
