/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/gpio.h"

#include <math.h>
#include <string.h>

#include "drivers/gpio/backend.h"
#include "drivers/gpio/find.h"
#include "drivers/gpio/header.h"
#include "drivers/gpio/uapi.h"

#define OFFSET_MAX 65535   /* more than any chip has */

struct jmp_gpio_line {
    struct jmp_gpio_request *request;   /* NULL: adopted */
    int fd, generation;                 /* of an adopted one */
    char name[128];
};

const char *const jmp_gpio_drives[] = {
    [JMP_GPIO_PUSH_PULL] = "push_pull",
    [JMP_GPIO_OPEN_DRAIN] = "open_drain",
    [JMP_GPIO_OPEN_SOURCE] = "open_source",
    NULL,
};
const char *const jmp_gpio_biases[] = {
    [JMP_GPIO_BIAS_AS_IS] = "as_is", [JMP_GPIO_PULL_UP] = "pull_up", [JMP_GPIO_PULL_DOWN] = "pull_down",
    [JMP_GPIO_BIAS_DISABLED] = "disabled", NULL,
};

static unsigned word_index(const char *const *words, const char *word)
{
    unsigned i = 0;

    while (word && words[i] && strcmp(words[i], word) != 0)
        i++;
    return i;   /* the rows let nothing else in */
}

static struct jmp_gpio_settings settings_of(const struct jmp_gpio_options *options)
{
    return (struct jmp_gpio_settings){
        .active_low = options->active_low,
        .drive = (enum jmp_gpio_drive)word_index(jmp_gpio_drives, options->drive),
        .bias = (enum jmp_gpio_bias)word_index(jmp_gpio_biases, options->bias),
    };
}

int jmp_gpio_check(const struct jmp_gpio_options *options, struct jmp_error *reterr)
{
    const struct jmp_node *line = options->line;
    const char *what;

    if (!line && options->pin == 0) {
        jmp_error_set(reterr, -EINVAL, "line is missing");
        jmp_error_hint(reterr, "line: a number on the chip or a name; or pin: a pin of a Raspberry Pi's header");
        return -EINVAL;
    }
    if (line && options->pin > 0)
        return jmp_error_set(reterr, -EINVAL, "line and pin: one of them says which line it is");
    if (options->pin > 0 && jmp_gpio_header(options->pin, &what) < 0)
        return jmp_error_set(reterr, -EINVAL, "pin: pin %u of the header is %s", options->pin,
                             what ? what : "not there");
    if (!line)
        return 0;
    if (line->kind == JMP_NODE_STRING && line->string[0] && strlen(line->string) < JMP_GPIO_NAME_SIZE)
        return 0;
    if (line->kind == JMP_NODE_NUMBER && line->number >= 0 && line->number <= OFFSET_MAX &&
        trunc(line->number) == line->number)
        return 0;
    return jmp_error_set(reterr, -EINVAL, "line: expected a whole number from 0 to %d or the name of a line, found %s",
                         OFFSET_MAX, jmp_node_kind_name(line));
}

int jmp_gpio_initial(const struct jmp_node *value, struct jmp_error *reterr)
{
    static const struct {
        const char *word;
        enum jmp_gpio_initial value;
    } words[] = {
        { "inactive", JMP_GPIO_INACTIVE }, { "off", JMP_GPIO_INACTIVE }, { "active", JMP_GPIO_ACTIVE },
        { "on", JMP_GPIO_ACTIVE }, { "keep", JMP_GPIO_KEEP },
    };
    const char *text = jmp_node_string(value);

    if (jmp_node_is_null(value))
        return JMP_GPIO_INACTIVE;
    if (value->kind == JMP_NODE_BOOL)
        return value->boolean ? JMP_GPIO_ACTIVE : JMP_GPIO_INACTIVE;
    for (size_t i = 0; text && i < ELEMENTSOF(words); i++) {
        if (strcmp(words[i].word, text) == 0)
            return (int)words[i].value;
    }
    jmp_error_set(reterr, -EINVAL,
                  "initial_value: expected active, on, inactive, off, keep, true or false, found %s%.60s",
                  text ? "" : jmp_node_kind_name(value), text ? text : "");
    return -EINVAL;
}

static void line_describe(struct jmp_gpio_line *line, const struct jmp_gpio_place *place, const char *name)
{
    snprintf(line->name, sizeof(line->name), "line %u%s%s%s of %s", place->offset, name[0] ? " (" : "", name,
             name[0] ? ")" : "", place->info.name);
}

static int fail_words(struct jmp_call *call, const struct jmp_error *error)
{
    return jmp_call_fail(call, error->error, "%s%s%s", error->text, error->hint[0] ? "; " : "", error->hint);
}

/* Why a line could not be had. Who holds it says so itself. */
static int fail_request(struct jmp_call *call, int error, const struct jmp_gpio_line *line,
                        const struct jmp_gpio_place *place)
{
    struct jmp_gpio_line_info info;

    if (error != -EBUSY || jmp_gpio_line_info(place->chip, place->offset, &info) < 0)
        return jmp_call_fail(call, error, "%s cannot be claimed: %m", line->name);
    if (!info.consumer[0])
        return jmp_call_fail(call, error, "%s is held by somebody who gives no name", line->name);
    return jmp_call_fail(call, error, "%s is held by \"%s\"%s", line->name, info.consumer,
                         strcmp(info.consumer, JMP_GPIO_CONSUMER) == 0 ? ", an exporter's driver" : "");
}

/* Another line, or the same one driven in another way, is another word: what an edited file no longer asks for is let
 * go. */
static void kept_name(const struct jmp_gpio_place *place, const struct jmp_gpio_settings *settings, char *ret,
                      size_t size)
{
    snprintf(ret, size, "%s-%u-%s-%s-%s", place->info.name, place->offset, settings->active_low ? "low" : "high",
             jmp_gpio_drives[settings->drive], jmp_gpio_biases[settings->bias]);
}

/* Takes over what an earlier agent held, as it is. False: there is nothing, or its chip has gone meanwhile. */
static bool adopt(struct jmp_call *call, const char *name, struct jmp_gpio_line *line)
{
    _cleanup_close_ int fd = jmp_call_kept(call, name);
    int generation;

    if (fd < 0)
        return false;
    generation = jmp_gpio_uapi_generation(fd);
    if (generation < 0) {
        jmp_call_log(call, JMP_LOG_INFO, "%s is claimed anew: what was held is of no use: %s", line->name,
                     strerror(-generation));
        jmp_call_unkeep(call, name);
        return false;
    }
    line->fd = TAKE_FD(fd);
    line->generation = generation;
    return true;
}

/* An output that no restart lets go of. */
static int claim_output(struct jmp_call *call, const struct jmp_gpio_place *place,
                        const struct jmp_gpio_settings *settings, bool value, struct jmp_gpio_line *line)
{
    char name[128];
    int r;

    kept_name(place, settings, name, sizeof(name));
    if (adopt(call, name, line))
        return 0;

    r = jmp_gpio_request_output(place->chip, place->offset, settings, true, value, &line->request);
    if (r < 0)
        return r;
    r = jmp_call_keep(call, name, jmp_gpio_request_fd(line->request));
    if (r < 0)
        jmp_call_log(call, JMP_LOG_WARNING, "a restart of the agent will let go of %s: %s", line->name, strerror(-r));
    return 0;
}

static int open_line(struct jmp_call *call, const struct jmp_gpio_options *options, bool output, bool value,
                     struct jmp_gpio_line **ret)
{
    const struct jmp_gpio_settings settings = settings_of(options);
    _cleanup_(jmp_gpio_place_clear) struct jmp_gpio_place place = { 0 };
    _cleanup_free_ struct jmp_gpio_line *line = calloc(1, sizeof(*line));
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_gpio_line_info info;
    int r;

    if (!line)
        return -ENOMEM;
    line->fd = -EBADF;
    r = jmp_gpio_find(options, &place, &error);
    if (r < 0)
        return error.error ? fail_words(call, &error) : r;
    line_describe(line, &place, "");
    r = jmp_gpio_line_info(place.chip, place.offset, &info);
    if (r < 0)
        return jmp_call_fail(call, r, "%s: %m", line->name);
    line_describe(line, &place, info.name);

    r = output ? claim_output(call, &place, &settings, value, line)
               : jmp_gpio_request_input(place.chip, place.offset, &settings, &line->request);
    if (r < 0)
        return fail_request(call, r, line, &place);

    *ret = TAKE_PTR(line);
    return 0;
}

int jmp_gpio_open_output(struct jmp_call *call, const struct jmp_gpio_options *options, bool value,
                         struct jmp_gpio_line **ret)
{
    return open_line(call, options, true, value, ret);
}

int jmp_gpio_open_input(struct jmp_call *call, const struct jmp_gpio_options *options, struct jmp_gpio_line **ret)
{
    return open_line(call, options, false, false, ret);
}

struct jmp_gpio_line *jmp_gpio_line_close(struct jmp_gpio_line *line)
{
    if (!line)
        return NULL;

    jmp_gpio_request_close(line->request);
    jmp_close(line->fd);
    free(line);
    return NULL;
}

const char *jmp_gpio_line_name(const struct jmp_gpio_line *line) { return line->name; }

int jmp_gpio_get(struct jmp_call *call, struct jmp_gpio_line *line)
{
    int r;

    r = line->request ? jmp_gpio_request_get(line->request) : jmp_gpio_uapi_get(line->fd, line->generation);
    if (r < 0)
        return jmp_call_fail(call, r, "%s cannot be read: %m", line->name);
    return r;
}

int jmp_gpio_drive(struct jmp_gpio_line *line, bool value)
{
    return line->request ? jmp_gpio_request_set(line->request, value)
                         : jmp_gpio_uapi_set(line->fd, line->generation, value);
}

int jmp_gpio_set(struct jmp_call *call, struct jmp_gpio_line *line, bool value)
{
    int r;

    r = jmp_gpio_drive(line, value);
    if (r < 0)
        return jmp_call_fail(call, r, "%s cannot be driven: %m", line->name);

    r = jmp_gpio_get(call, line);
    if (r < 0)
        return r;
    jmp_call_log(call, JMP_LOG_INFO, "%s is %s", line->name, r ? "active" : "inactive");
    return 0;
}

int jmp_gpio_reply(struct jmp_call *call, struct jmp_gpio_line *line)
{
    int r;

    r = jmp_gpio_get(call, line);
    if (r < 0)
        return r;
    jmp_writer_integer(jmp_call_reply(call), r);
    return 0;
}

int jmp_gpio_line_fd(const struct jmp_gpio_line *line) { return jmp_gpio_request_fd(line->request); }

int jmp_gpio_edges(struct jmp_call *call, struct jmp_gpio_line *line, unsigned *rising, unsigned *falling)
{
    int r;

    r = jmp_gpio_request_edges(line->request, rising, falling);
    if (r < 0)
        return jmp_call_fail(call, r, "edges of %s cannot be read: %m", line->name);
    return 0;
}
