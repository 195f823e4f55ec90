// tokens[row] = the token that `samp_kernels::sample` chooses among the logits of a row of VOCAB, f32: the largest, or by a
// number of 64 random bits among those that top-k, top-p and min-p leave, at a temperature. -1 where a logit is no number or
// positive infinity, or none is finite. Where `logprobs` is not null, it gets the token's log-probability at temperature 1.
//
// One block for each row. Shared memory: a `Scratch`.
#include "select.cuh"

// How one row's token is chosen: `SamplingParams` in Rust.
struct SamplingParams {
  float temperature;  // 0: the largest logit
  u32 top_k;          // 0: all
  float top_p;        // 1: all
  float min_p;        // 0: all
};

// 2^(i/16)
DEV_TABLE double SIXTEENTHS[16] = {
    1.0,                1.0442737824274138, 1.0905077326652577, 1.1387886347566916, 1.189207115002721,  1.241857812073484,
    1.2968395546510096, 1.3542555469368927, 1.4142135623730951, 1.4768261459394993, 1.5422108254079407, 1.6104903319492543,
    1.681792830507429,  1.7562521603732995, 1.8340080864093424, 1.9152065613971474};

// Weights of tokens relative to the likeliest, which weighs 2^44: integers, as `Weights` in Rust computes them bit by bit.
struct Weights {
  double most, scale;

  DEV Weights(float most, float temperature) : most(most), scale(23.083120654223414 / (double)temperature) {}

  DEV u64 operator()(float logit) const {
    // In sixteenths of a factor of 2.
    const double steps = mul_f64(add_f64(logit, -most), scale);
    if (!(steps >= -720.0)) return 0;
    // In the last places of 1.5 * 2^52 stands the nearest integer.
    const double shifted = add_f64(steps, 6755399441055744.0);
    const i32 whole = (i32)(u32)bits_of(shifted);
    const double rest = add_f64(steps, -add_f64(shifted, -6755399441055744.0));
    double power = 9.181219573844438e-12;
    power = add_f64(mul_f64(power, rest), 1.2715871950558131e-09);
    power = add_f64(mul_f64(power, rest), 1.467610032291943e-07);
    power = add_f64(mul_f64(power, rest), 1.3550807779497457e-05);
    power = add_f64(mul_f64(power, rest), 0.0009383847928089872);
    power = add_f64(mul_f64(power, rest), 0.04332169878499658);
    power = add_f64(mul_f64(power, rest), 1.0);
    const double unit = double_of((u64)(1023 + 44 + (whole >> 4)) << 52);
    const double weight = mul_f64(mul_f64(power, SIXTEENTHS[whole & 15]), unit);
    return bits_of(add_f64(weight, 4503599627370496.0)) - bits_of(4503599627370496.0);
  }
};

// The smallest integer that is at least `part` of `whole`, `part` from 0 to less than 1.
DEV u64 part_of(float part, u64 whole) {
  const u64 fraction = (u64)((double)part * 18446744073709551616.0);
  return mul_high(fraction, whole) + (fraction * whole != 0 ? 1 : 0);
}

// What the greatest and the least key of a row are, and the first id of the greatest.
struct Extremes {
  u32 high, low;
  i32 first;
};

DEV Extremes extremes_of(const float* logits, Scratch& scratch) {
  u64 best = 0, least = 0;
  const auto larger = [](u64 a, u64 b) { return a > b ? a : b; };
  each_logit(logits, [&](int id, float logit) {
    const u32 key = key_of(logit);
    best = larger(best, (u64)key << 32 | ~(u32)id);
    least = larger(least, ~key);
  });
  best = combine(best, scratch, larger);
  least = combine(least, scratch, larger);
  return {(u32)(best >> 32), ~(u32)least, (i32)~(u32)best};
}

// The token that `draw` names among those that the filters leave.
DEV i32 drawn(const float* logits, Scratch& scratch, const Extremes& extremes, const SamplingParams& choice, u64 draw) {
  const Weights weights(logit_of(extremes.high), choice.temperature);
  // Only keys from `low` up are left.
  u32 low = extremes.low;
  u64 left;
  if (choice.top_k > 0 && choice.top_k < VOCAB) {
    const auto one = [](float) { return (u64)1; };
    const Threshold last = find_threshold(logits, scratch, one, low, extremes.high, choice.top_k - 1);
    low = last.key;
    left = total(logits, scratch, [&](float logit) { return key_of(logit) > low ? weights(logit) : 0; });
    left += (choice.top_k - last.above) * weights(logit_of(low));
  } else {
    left = total(logits, scratch, weights);
  }
  if (choice.top_p < 1.0f) {
    const u64 wanted = part_of(choice.top_p, left), target = wanted > 0 ? wanted - 1 : 0;
    const Threshold last = find_threshold(logits, scratch, weights, low, extremes.high, target);
    low = last.key;
    const u64 weight = weights(logit_of(low));
    left = last.above + ((target - last.above) / weight + 1) * weight;
  }
  u64 least = 0;
  if (choice.min_p > 0.0f) {
    const double wanted = mul_f64(choice.min_p, 17592186044416.0);
    least = (u64)wanted + ((double)(u64)wanted < wanted ? 1 : 0);
  }
  const auto kept = [&](float logit) {
    const u64 weight = weights(logit);
    return weight >= least ? weight : 0;
  };
  if (least > 0) {
    const u64 likely = total(logits, scratch, kept);
    left = likely < left ? likely : left;
  }
  const u64 target = mul_high(draw & ~0x7ffull, left);
  if (choice.top_k == 0 && choice.top_p >= 1.0f) return id_of(logits, scratch, kept, target);
  const Threshold threshold = find_threshold(logits, scratch, kept, low, extremes.high, target);
  const auto same = [&](float logit) { return (u64)(key_of(logit) == threshold.key ? 1 : 0); };
  return id_of(logits, scratch, same, (target - threshold.above) / weights(logit_of(threshold.key)));
}

KERNEL(THREADS)
KERNEL_NAME(const float* logits, const SamplingParams* choices, const u64* draws, i32* tokens, float* logprobs, int rows) {
  SHARED(shared);
  Scratch& scratch = *(Scratch*)shared;
  const int row = blockIdx.x;
  if (row >= rows) return;
  grid_wait();
  grid_launch();
  logits += (size_t)row * VOCAB;
  const Extremes extremes = extremes_of(logits, scratch);
  const u32 infinite = key_of(float_of(0x7f800000)), lost = key_of(float_of(0xff800000));
  const bool wrong = extremes.high >= infinite || extremes.high <= lost || extremes.low < lost;
  const SamplingParams choice = choices[row];
  i32 token = wrong ? -1 : extremes.first;
  if (!wrong && choice.temperature > 0.0f) token = drawn(logits, scratch, extremes, choice, draws[row]);
  u64 sum = 0;
  const float most = logit_of(extremes.high);
  if (!wrong && logprobs) sum = total(logits, scratch, Weights(most, 1.0f));
  if (threadIdx.x > 0) return;
  tokens[row] = token;
  if (!logprobs) return;
  const double share = (double)sum * (1.0 / 17592186044416.0);
  logprobs[row] = wrong ? float_of(0x7fc00000) : (float)((double)logits[token] - most - log_f64(share));
}
