// What a kernel's shared object says of itself; follows the kernel's source.
#pragma once
#include "emulate.h"

extern "C" char __ehdr_start[] __attribute__((visibility("hidden")));
extern "C" char _end[] __attribute__((visibility("hidden")));

namespace samp_emu {

template <class T> constexpr ParameterKind parameter_kind = ParameterKind::Unknown;
template <class T> constexpr ParameterKind parameter_kind<T*> = ParameterKind::Pointer;
template <> constexpr ParameterKind parameter_kind<i32> = ParameterKind::Integer;
template <> constexpr ParameterKind parameter_kind<float> = ParameterKind::Float;

template <int... I> struct Numbers {};
template <int N, int... I> struct UpTo : UpTo<N - 1, N - 1, I...> {};
template <int... I> struct UpTo<0, I...> {
  using Type = Numbers<I...>;
};

template <class T> struct Plain {
  using Type = T;
};
template <class T> struct Plain<const T> {
  using Type = T;
};

// Calls a kernel with the arguments that `parameters` point to, as cuLaunchKernel does.
template <class... A> struct Call {
  static constexpr bool known = ((parameter_kind<typename Plain<A>::Type> != ParameterKind::Unknown) && ...);
  static_assert(known, "parameters are pointers, i32 and float");
  static constexpr u64 count = sizeof...(A);
  static constexpr ParameterKind kinds[count + 1] = {parameter_kind<typename Plain<A>::Type>...};

  template <int... I>
  [[gnu::no_sanitize("thread")]] static void run(void (*kernel)(A...), void** parameters, Numbers<I...>) {
    kernel(*(typename Plain<A>::Type*)parameters[I]...);
  }
};

template <class... A> constexpr Call<A...> call_of(void (*)(A...)) { return {}; }

}  // namespace samp_emu

samp_emu::Api samp_emu_runtime;

#define SAMP_EMU_EXPORT(kernel)                                                                               \
  [[gnu::no_sanitize("thread")]] static void samp_emu_run(void** parameters) {                                \
    using Call = decltype(samp_emu::call_of(kernel));                                                         \
    Call::run(kernel, parameters, samp_emu::UpTo<Call::count>::Type());                                       \
  }                                                                                                           \
  extern "C" [[gnu::no_sanitize("thread"), gnu::visibility("default")]] const samp_emu::Entry* samp_emu_bind( \
      const samp_emu::Api* api) {                                                                             \
    using Call = decltype(samp_emu::call_of(kernel));                                                         \
    static const samp_emu::Entry entry{samp_emu_run,         Call::kinds,  Call::count,                       \
                                       samp_emu_max_threads, __ehdr_start, _end};                             \
    if (!samp_emu_runtime.view) samp_emu_runtime = *api;                                                      \
    return &entry;                                                                                            \
  }
