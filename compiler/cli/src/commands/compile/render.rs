//! What a compile made, or would make, as text.

use std::{path::Path, time::Duration};

use samp_compiler::{
    compile::Compiled,
    emit::{Forecast, MachineCode},
    lower::{PlanSpec, pipeline::typical_context, predict::DecodeStep, size::Bytes},
    quantize::search::CalibrationForecast,
};
use samp_runtime::plan::code::CODE_FOLDER;

use crate::{estimate::roughly, output::in_line};

/// The machine code of kernels in a folder.
pub fn code(folder: &Path, code: &MachineCode) -> String {
    let most = code.report().iter().map(|report| report.registers).max().unwrap_or(0);
    format!(
        "{}: {} kernels, {} in all, at most {most} registers, no spills\n",
        in_line(&folder.join(CODE_FOLDER)),
        code.0.len(),
        Bytes(code.bytes())
    )
}

/// What a plan will take to make.
pub fn forecast(forecast: &Forecast) -> String {
    format!(
        "plan on disk       {}\npeak memory        {} packing, {} probing\n",
        Bytes(forecast.disk_bytes),
        Bytes(forecast.memory.packing),
        Bytes(forecast.memory.probe)
    )
}

/// What a calibrated compile will take.
pub fn calibration(forecast: &CalibrationForecast) -> String {
    let CalibrationForecast { weights, known, candidates, passes, tokens, .. } = forecast;
    let before = if *known > 0 { format!(", {known} more are in the profile") } else { String::new() };
    format!(
        "to measure         {weights} weights, {candidates} candidates, {passes} passes over tokens{before}\n\
         tokens             {} behind output errors, {} predictions behind divergences, {} to round under, {} held out\n\
         peak memory        about {}, beside the mapped weights\n\
         work folder        up to about {}, removed in the end\n\
         time               about {} on this machine, as busy as it is now: an estimate, good within a factor of two, \
         of {:.1e} operations at {:.1e} a second\n",
        tokens.output_errors,
        tokens.divergences,
        tokens.rounding,
        tokens.held_out,
        Bytes(forecast.memory_bytes),
        Bytes(forecast.work_bytes),
        roughly(Duration::from_secs_f64(forecast.seconds.min(1e15))),
        forecast.operations,
        forecast.operations_per_second,
    )
}

/// Steps that decode one token of each sequence, by the cost model.
pub fn prediction(spec: &PlanSpec, steps: &[DecodeStep]) -> String {
    let mut text = format!(
        "predicted          a token of each sequence, {} positions read; device memory for their longest\n",
        typical_context(&spec.limits)
    );
    for &DecodeStep { sequences, milliseconds, tokens_per_second, device_bytes } in steps {
        let memory = Bytes(device_bytes).to_string();
        let of = if sequences == 1 { "sequence" } else { "sequences" };
        text += &format!(
            "{sequences:>6} {of:<11} {milliseconds:>9.2} ms  {tokens_per_second:>9.1} tok/s  {memory:>10}\n"
        );
    }
    text
}

/// A plan on disk.
pub fn compiled(output: &Path, compiled: &Compiled) -> String {
    let resumed = match compiled.resumed {
        0 => String::new(),
        n => format!(", {n} tensors taken over from an interrupted run"),
    };
    let bits = compiled.plan.decoder_bits_per_weight().map_or("–".into(), |b| format!("{b:.3}"));
    let bytes = Bytes(compiled.bytes);
    let digest = &compiled.plan.digest;
    format!(
        "{}: {bytes} in all, {bits} bits per decoder weight{resumed}\ndigest blake3:{digest}\n",
        in_line(output)
    )
}
