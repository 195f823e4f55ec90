/* samp: language models from compiled plans. Made of runtime/c/src by cbindgen; edit there. */

#ifndef SAMP_H
#define SAMP_H

#include <stddef.h>
#include <stdint.h>

/*
 * How a call ended. samp_last_error says the rest.
 */
enum samp_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     * All is done.
     */
    SAMP_STATUS_OK = 0,
    /*
     * The answer is no: the plan is not the one whose digest was given.
     */
    SAMP_STATUS_REFUSED = 1,
    /*
     * A wrong argument, a plan that is not one, a prompt that does not fit.
     */
    SAMP_STATUS_BAD_INPUT = 2,
    /*
     * The machine lacks something: memory, threads, a GPU.
     */
    SAMP_STATUS_ENVIRONMENT = 3,
    /*
     * A defect of samp. The session computes nothing any more; free it.
     */
    SAMP_STATUS_BUG = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum samp_status samp_status;
#else
typedef int32_t samp_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 * Why an answer ended.
 */
enum samp_finish
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     * An end-of-text token or a stop text.
     */
    SAMP_FINISH_STOP = 0,
    /*
     * As many tokens as asked for.
     */
    SAMP_FINISH_LENGTH = 1,
    /*
     * The callback returned other than 0.
     */
    SAMP_FINISH_CANCELLED = 2,
    /*
     * As many tokens as the plan's context holds, and fewer than asked for.
     */
    SAMP_FINISH_CONTEXT_FULL = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum samp_finish samp_finish;
#else
typedef int32_t samp_finish;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 * A plan that is loaded on a device. Any thread may use it, several at a time: their answers advance token by token in turns.
 * After fork() the child opens the plan anew.
 */
typedef struct samp_session samp_session;

/*
 * What is generated, and how tokens are chosen. Set all to 0, then `size`: `samp_sampling how = {.size = sizeof how};`. All 0
 * takes the likeliest token each time, 128 times at most.
 */
typedef struct {
    /*
     * sizeof(samp_sampling).
     */
    size_t size;
    /*
     * Most tokens to generate; 0 is 128.
     */
    size_t max_tokens;
    /*
     * Softmax temperature; 0 takes the likeliest token.
     */
    float temperature;
    /*
     * Sample among the fewest tokens whose probability reaches this; 0 is 1, which is all.
     */
    float top_p;
    /*
     * Leave out tokens less likely than this part of the likeliest one.
     */
    float min_p;
    /*
     * Divide the logits of tokens already seen by this; 0 is 1, which changes nothing.
     */
    float repetition_penalty;
    /*
     * Sample among so many of the likeliest tokens; 0 is all.
     */
    size_t top_k;
    /*
     * Names the random sequence: the same seed gives the same text.
     */
    uint64_t seed;
    /*
     * Texts that end the answer and are not part of it, each ending in NUL.
     */
    const char *const *stop;
    /*
     * How many there are.
     */
    size_t stop_count;
    /*
     * Not 0 goes on past the model's end-of-text tokens.
     */
    int ignore_eos;
} samp_sampling;

/*
 * Told of each token: `length` bytes of text in UTF-8, never half a character, with a NUL after them; maybe none. They are
 * valid during the call. Called on the thread that called samp_generate or samp_chat, and may call samp itself. Not 0 ends
 * the answer. Must not throw.
 */
typedef int (*samp_on_token)(void *user, const char *text, size_t length, uint32_t token);

/*
 * What came of a generation.
 */
typedef struct {
    /*
     * Tokens of the prompt.
     */
    size_t prompt_tokens;
    /*
     * Tokens generated, the one that ended it included.
     */
    size_t tokens;
    /*
     * Why it ended.
     */
    samp_finish finish;
} samp_result;

/*
 * How a plan is opened. Set all to 0, then `size`: `samp_options options = {.size = sizeof options};`. What is 0 or NULL is
 * left to samp.
 */
typedef struct {
    /*
     * sizeof(samp_options).
     */
    size_t size;
    /*
     * "cpu", "cuda" or "reference"; NULL is the device that the plan is for.
     */
    const char *device;
    /*
     * Threads that compute, which belong to the session, at most 1024; 0 is one for each core.
     */
    size_t threads;
    /*
     * Positions that the KV cache holds over all sequences; 0 is all that the plan's limits allow, or on a GPU as many as fit.
     */
    uint64_t kv_tokens;
    /*
     * The digest that the plan must have, 64 hex digits as `samp inspect` prints it; NULL takes any.
     */
    const char *digest;
} samp_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 * Continues the text `prompt`; `on_token` is told of each token, with `user`. `sampling` and `result` may be NULL. No pointer
 * is kept. Any thread may call, several at a time.
 *
 * # Safety
 *
 * `session` is alive, texts end in NUL, and `sampling.size` is the size of what it points to.
 */
samp_status samp_generate(const samp_session *session,
                          const char *prompt,
                          const samp_sampling *sampling,
                          samp_on_token on_token,
                          void *user,
                          samp_result *result);

/*
 * Answers a conversation, written by the model's chat template: `messages` is a JSON array of {"role", "content"}. Otherwise
 * as samp_generate.
 *
 * # Safety
 *
 * As of samp_generate.
 */
samp_status samp_chat(const samp_session *session,
                      const char *messages,
                      const samp_sampling *sampling,
                      samp_on_token on_token,
                      void *user,
                      samp_result *result);

/*
 * What went wrong in the last call of this thread that did not return SAMP_STATUS_OK, as a sentence in UTF-8; empty if none
 * did. Belongs to samp, and is valid until the next failure on this thread. Never NULL.
 */
const char *samp_last_error(void);

/*
 * The code of that error, such as E1301, which `samp explain` knows; empty if it has none. As samp_last_error otherwise.
 */
const char *samp_last_error_code(void);

/*
 * Opens the plan in the folder `plan`, checks every byte of it, and loads it. `options` may be NULL. `*session` is set on
 * SAMP_STATUS_OK alone, and is the caller's to give to samp_free. Any thread may open; two sessions share nothing but the
 * pages of the plan's files.
 *
 * # Safety
 *
 * `plan` and the texts of `options` end in NUL; `options.size` is the size of what it points to.
 */
samp_status samp_open(const char *plan,
                      const samp_options *options,
                      samp_session **session);

/*
 * Frees what samp_open gave; NULL is passed over. Nothing may use the session during the call or after it.
 *
 * # Safety
 *
 * `session` came from samp_open and has not been freed.
 */
void samp_free(samp_session *session);

/*
 * Elements of a row of logits; 0 where `session` is NULL.
 *
 * # Safety
 *
 * `session` came from samp_open and has not been freed, or is NULL.
 */
size_t samp_vocab_size(const samp_session *session);

/*
 * The tokens of a text, with those that begin texts. `*count` says how many there are, also where `capacity` is too small
 * for them: then the status is SAMP_STATUS_BAD_INPUT and nothing is written to `tokens`, which may be NULL where `capacity`
 * is 0. No pointer is kept.
 *
 * # Safety
 *
 * `session` is alive, `text` ends in NUL, and `tokens` has room for `capacity` elements.
 */
samp_status samp_encode(const samp_session *session,
                        const char *text,
                        uint32_t *tokens,
                        size_t capacity,
                        size_t *count);

/*
 * The logits of the token after each of `tokens`: `count` rows of samp_vocab_size elements into `logits`, which has room for
 * `capacity` of them. Computed in a sequence of its own. No pointer is kept.
 *
 * # Safety
 *
 * `session` is alive, `tokens` has `count` elements, and `logits` has room for `capacity`.
 */
samp_status samp_logits(const samp_session *session,
                        const uint32_t *tokens,
                        size_t count,
                        float *logits,
                        size_t capacity);

/*
 * The version of this library, such as 0.1.0. Never NULL, and always valid.
 */
const char *samp_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SAMP_H */
