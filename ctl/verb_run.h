/* SPDX-License-Identifier: Apache-2.0 */
/* The functions behind the table of verbs, and their options. */
#pragma once

#include "ctl/verbs.h"

struct jmp_verb_plain {
    bool help;
};

struct jmp_verb_off {
    bool help, destroy;
};

struct jmp_verb_cycle {
    bool help;
    double wait;
};

struct jmp_verb_read {
    bool help;
    unsigned count;
    double interval;
};

struct jmp_verb_wait {
    bool help;
    double timeout;
};

struct jmp_verb_pipe {
    bool help, append, input, no_input, no_output;
    const char *output;
};

struct jmp_verb_forward {
    bool help;
    const char *address;
};

struct jmp_verb_address {
    bool help, host, port;
};

struct jmp_verb_file {
    bool help;
    const char *compression;
};

struct jmp_verb_flash {
    bool help;
    const char *compression;
    const struct jmp_node *target;
};

struct jmp_verb_pico {
    bool help;
    const char *compression, *name;
};

struct jmp_verb_dump {
    bool help;
    const char *compression, *target;
};

extern const struct jmp_option jmp_verb_plain_options[], jmp_verb_off_options[], jmp_verb_cycle_options[],
    jmp_verb_read_options[], jmp_verb_wait_options[], jmp_verb_pipe_options[], jmp_verb_forward_options[],
    jmp_verb_address_options[], jmp_verb_file_options[], jmp_verb_flash_options[], jmp_verb_pico_options[],
    jmp_verb_dump_options[];

#define JMP_VERB_RUN(name)                                                                                             \
    int name(struct jmp_ctl *ctl, const struct jmp_verb *verb, const struct jmp_driver_ref *driver, void *object,      \
             char **words, struct jmp_error *reterr)

/* cmd_driver.c */
JMP_VERB_RUN(jmp_verb_call_plain);      /* the verb's method */
JMP_VERB_RUN(jmp_verb_show);            /* the same, and its answer is printed */
JMP_VERB_RUN(jmp_verb_off);
JMP_VERB_RUN(jmp_verb_cycle);
JMP_VERB_RUN(jmp_verb_read);
JMP_VERB_RUN(jmp_verb_read_pin);
JMP_VERB_RUN(jmp_verb_wait_pin);
JMP_VERB_RUN(jmp_verb_call);
JMP_VERB_RUN(jmp_verb_stream);
/* verb_stream.c */
JMP_VERB_RUN(jmp_verb_console);
JMP_VERB_RUN(jmp_verb_pipe);
JMP_VERB_RUN(jmp_verb_forward_tcp);
JMP_VERB_RUN(jmp_verb_forward_unix);
JMP_VERB_RUN(jmp_verb_address);
JMP_VERB_RUN(jmp_verb_connect);
/* verb_storage.c */
JMP_VERB_RUN(jmp_verb_upload);
JMP_VERB_RUN(jmp_verb_download);
JMP_VERB_RUN(jmp_verb_mux_flash);
JMP_VERB_RUN(jmp_verb_mux_dump);
JMP_VERB_RUN(jmp_verb_flash);
JMP_VERB_RUN(jmp_verb_flash_pico);
JMP_VERB_RUN(jmp_verb_flash_named);     /* by the end of its name the exporter knows what a file is */
JMP_VERB_RUN(jmp_verb_dump);

/** jmp_verb_method() - call a method of a driver; errors name both
 * @args: a list or NULL; @ret: may be NULL */
int jmp_verb_method(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, const char *method,
                    const struct jmp_node *args, struct jmp_tree *tree, const struct jmp_node **ret,
                    struct jmp_error *reterr);
