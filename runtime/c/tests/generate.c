/* Generates text from a plan, and misuses the library on purpose. Prints what the test compares. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "samp.h"

#define EXPECT(holds)                                                                       \
    do {                                                                                    \
        if (!(holds)) {                                                                     \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #holds, samp_last_error());     \
            exit(1);                                                                        \
        }                                                                                   \
    } while (0)

struct answer {
    char text[4096];
    size_t length;
    int calls, most_calls;
};

static int collect(void *user, const char *text, size_t length, uint32_t token)
{
    struct answer *answer = user;
    (void)token;
    EXPECT(text[length] == 0 && answer->length + length < sizeof answer->text);
    memcpy(answer->text + answer->length, text, length);
    answer->length += length;
    answer->calls++;
    return answer->most_calls > 0 && answer->calls >= answer->most_calls;
}

static const samp_sampling HOW = {.size = sizeof HOW, .max_tokens = 12};

static samp_session *opened(const char *plan)
{
    samp_options options = {.size = sizeof options, .threads = 2, .kv_tokens = 256};
    samp_session *session = NULL;
    EXPECT(samp_open(plan, &options, &session) == SAMP_STATUS_OK);
    return session;
}

static void generate(samp_session *session, const char *prompt, struct answer *answer)
{
    samp_result result;
    EXPECT(samp_generate(session, prompt, &HOW, collect, answer, &result) == SAMP_STATUS_OK);
    EXPECT(result.tokens == (size_t)answer->calls);
    EXPECT(result.finish == (answer->most_calls ? SAMP_FINISH_CANCELLED : SAMP_FINISH_LENGTH));
}

/* An engine of its own for each thread. */
static void *in_a_thread(void *plan)
{
    struct answer *answer = calloc(1, sizeof *answer);
    samp_session *session = opened(plan);
    generate(session, "The parser reads", answer);
    samp_free(session);
    return answer;
}

static void two_threads(const char *plan, const struct answer *expected)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        EXPECT(pthread_create(&threads[i], NULL, in_a_thread, (void *)plan) == 0);
    for (int i = 0; i < 2; i++) {
        void *answer;
        EXPECT(pthread_join(threads[i], &answer) == 0);
        EXPECT(strcmp(((struct answer *)answer)->text, expected->text) == 0);
        free(answer);
    }
}

static void refused(samp_status status, const char *part)
{
    EXPECT(status == SAMP_STATUS_BAD_INPUT);
    EXPECT(strstr(samp_last_error(), part) != NULL);
}

static void misuse(const char *plan, samp_session *session)
{
    samp_session *none = NULL;
    struct answer answer = {.length = 0};
    samp_options options = {.size = sizeof options, .device = "abacus"};
    refused(samp_open("/no/such/plan", NULL, &none), "/no/such/plan");
    refused(samp_open(NULL, NULL, &none), "`plan` is NULL");
    refused(samp_open("\xff\xfe", NULL, &none), "not UTF-8");
    refused(samp_open(plan, NULL, NULL), "`session` is NULL");
    refused(samp_open(plan, &options, &none), "abacus");
    options = (samp_options){.size = 0};
    refused(samp_open(plan, &options, &none), "options.size");
    options = (samp_options){.size = sizeof options, .digest = "0000"};
    EXPECT(samp_open(plan, &options, &none) == SAMP_STATUS_REFUSED);
    EXPECT(strcmp(samp_last_error_code(), "E1402") == 0 && strstr(samp_last_error(), "0000") != NULL);
    EXPECT(none == NULL);
    refused(samp_generate(NULL, "a", NULL, collect, &answer, NULL), "`session` is NULL");
    refused(samp_generate(session, NULL, NULL, collect, &answer, NULL), "`prompt` is NULL");
    refused(samp_generate(session, "\xc3", NULL, collect, &answer, NULL), "not UTF-8 from byte 0");
    refused(samp_generate(session, "a", NULL, NULL, NULL, NULL), "`on_token` is NULL");
    samp_sampling cold = {.size = sizeof cold, .temperature = -1};
    refused(samp_generate(session, "a", &cold, collect, &answer, NULL), "temperature");
    EXPECT(samp_last_error_code()[0] == 'E');
    refused(samp_chat(session, "{", NULL, collect, &answer, NULL), "JSON");
    EXPECT(answer.calls == 0);
    samp_free(NULL);
    EXPECT(samp_vocab_size(NULL) == 0);
}

/* A caller that was compiled against a later header, with a field that is used, and one that is not. */
static void later_headers(samp_session *session, const struct answer *expected)
{
    struct {
        samp_sampling known;
        uint64_t later;
    } how = {.known = {.size = sizeof how, .max_tokens = 12}, .later = 0};
    struct answer answer = {.length = 0};
    EXPECT(samp_generate(session, "The parser reads", &how.known, collect, &answer, NULL) == SAMP_STATUS_OK);
    EXPECT(strcmp(answer.text, expected->text) == 0);
    how.later = 1;
    refused(samp_generate(session, "a", &how.known, collect, &answer, NULL), "newer library");
}

static void logits(samp_session *session)
{
    uint32_t tokens[64];
    size_t count = 0, vocab = samp_vocab_size(session);
    refused(samp_encode(session, "The parser reads", NULL, 0, &count), "room for 0");
    EXPECT(count > 1 && count < 64);
    EXPECT(samp_encode(session, "The parser reads", tokens, 64, &count) == SAMP_STATUS_OK);
    float *rows = malloc(count * vocab * sizeof *rows);
    refused(samp_logits(session, tokens, count, rows, vocab), "room for");
    EXPECT(samp_logits(session, tokens, count, rows, count * vocab) == SAMP_STATUS_OK);
    size_t best = 0;
    for (size_t i = 0; i < vocab; i++)
        if (rows[(count - 1) * vocab + i] > rows[(count - 1) * vocab + best])
            best = i;
    printf("next %zu of %zu after %zu\n", best, vocab, count);
    free(rows);
}

int main(int argc, char **argv)
{
    EXPECT(argc == 2);
    samp_session *session = opened(argv[1]);
    EXPECT(samp_last_error()[0] == 0);
    struct answer answer = {.length = 0}, first = {.most_calls = 1}, chat = {.length = 0};
    generate(session, "The parser reads", &answer);
    generate(session, "The parser reads", &first);
    EXPECT(first.calls == 1);
    const char *messages = "[{\"role\": \"user\", \"content\": \"Hello\"}]";
    EXPECT(samp_chat(session, messages, &HOW, collect, &chat, NULL) == SAMP_STATUS_OK);
    misuse(argv[1], session);
    later_headers(session, &answer);
    two_threads(argv[1], &answer);
    logits(session);
    samp_free(session);
    printf("version %s\n%s\n--\n%s\n", samp_version(), answer.text, chat.text);
    return 0;
}
