/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled when everything was shorter: a class without check, options without limits, methods without shared and
 * quick. */
#include "drivers/driver.h"

struct old_option {
    const char *key;
    enum jmp_type type;
    size_t offset;
    const char *preset;
    const char *const *words;
    bool required;
    const char *help;
};

struct old_method {
    const char *name, *help;
    struct jmp_arg args[6];
    int (*call)(void *self, struct jmp_call *call);
    int (*items)(void *self, struct jmp_call *call);
    int (*open)(void *self, struct jmp_call *call, int *ret);
    int (*serve)(void *self, struct jmp_call *call, int fd);
};

struct old_class {
    size_t abi, class_size, option_size, method_size;
    const char *name, *python_type, *client, *kind, *help;
    size_t size;
    const struct old_option *options;
    const struct old_method *methods;
    const struct jmp_child *children;
    int (*open)(void *self, struct jmp_call *call);
    int (*reset)(void *self, struct jmp_call *call);
    void (*close)(void *self);
};

struct veteran {
    unsigned years;
    const char *medal;
};

static const struct old_option veteran_options[] = {
    { JMP_FIELD(struct veteran, years), .preset = "30", .help = "of service" },
    { JMP_FIELD(struct veteran, medal), .required = true, .help = "the highest" },
    {}
};

static int veteran_tell(void *self, struct jmp_call *call)
{
    struct jmp_writer *reply = jmp_call_reply(call);
    struct veteran *veteran = self;

    jmp_writer_begin_list(reply);
    jmp_writer_integer(reply, veteran->years);
    jmp_writer_string(reply, veteran->medal);
    jmp_writer_string(reply, jmp_call_string(call, "to"));
    jmp_writer_end_list(reply);
    return 0;
}

static int veteran_salute(void *self, struct jmp_call *call) { return 0; }

static const struct old_method veteran_methods[] = {
    { .name = "salute", .call = veteran_salute },
    { .name = "tell", .call = veteran_tell, .args = { { "to", JMP_STRING, false } } },
    {}
};

static const struct old_class veteran = {
    .abi = 1, .class_size = sizeof(struct old_class), .option_size = sizeof(struct old_option),
    .method_size = sizeof(struct old_method), .name = "veteran", .kind = "other", .client = "test.VeteranClient",
    .size = sizeof(struct veteran), .options = veteran_options, .methods = veteran_methods,
};

__attribute__((visibility("default"))) const struct old_class *const jmp_plugin_drivers[] = { &veteran, NULL };
