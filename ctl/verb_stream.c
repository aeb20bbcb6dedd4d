/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of consoles and networks */
#include <string.h>

#include "base/text.h"
#include "ctl/console.h"
#include "ctl/ctl.h"
#include "ctl/forward.h"
#include "ctl/verb_run.h"

JMP_VERB_RUN(jmp_verb_console)
{
    return jmp_console_run(ctl->session, driver, "connect", reterr);
}

const struct jmp_option jmp_verb_pipe_options[] = {
    { JMP_FIELD(struct jmp_verb_pipe, output), .letter = 'o', .value_name = "FILE",
      .help = "write to FILE instead of standard output" },
    { JMP_FIELD(struct jmp_verb_pipe, append), .letter = 'a', .help = "with --output: append to it" },
    { JMP_FIELD(struct jmp_verb_pipe, input), .letter = 'i', .help = "send standard input even if it is a terminal" },
    { JMP_FIELD(struct jmp_verb_pipe, no_input), .help = "send nothing, even if standard input is no terminal" },
    { JMP_FIELD(struct jmp_verb_pipe, no_output), .help = "show nothing; end when standard input has been sent" },
    { JMP_FIELD(struct jmp_verb_pipe, help), .letter = 'h', .help = "show this help" },
    {}
};

JMP_VERB_RUN(jmp_verb_pipe)
{
    const struct jmp_verb_pipe *options = object;
    bool terminal = isatty(STDIN_FILENO);
    struct jmp_pipe_options pipe = {
        .file = options->output, .append = options->append, .output = !options->no_output,
        .input = !options->no_input && (options->input || !terminal) };

    if (options->input && options->no_input)
        return jmp_ctl_usage(ctl, reterr, "--input and --no-input exclude each other");
    if (options->no_output && options->output)
        return jmp_ctl_usage(ctl, reterr, "--no-output and --output exclude each other");
    if (options->append && !options->output)
        return jmp_ctl_usage(ctl, reterr, "--append needs --output");
    if (options->no_output && !pipe.input)
        return jmp_ctl_usage(ctl, reterr, "--no-output needs something to send: a pipe as standard input, or --input");
    if (jmp_ctl_is_terminal(ctl) && pipe.output)
        jmp_ctl_note(ctl, "%s %s%s; Ctrl-C ends", pipe.input ? "both ways with" : "reading", driver->path,
                     options->output ? ", into a file" : "");
    return jmp_pipe_run(ctl->session, driver, "connect", &pipe, reterr);
}

JMP_VERB_RUN(jmp_verb_connect)
{
    return jmp_pipe_run(ctl->session, driver, "connect",
                        &(const struct jmp_pipe_options){ .input = true, .output = true }, reterr);
}

const struct jmp_option jmp_verb_forward_options[] = {
    { JMP_FIELD(struct jmp_verb_forward, address), .preset = "localhost", .value_name = "HOST",
      .help = "where to listen" },
    { JMP_FIELD(struct jmp_verb_forward, help), .letter = 'h', .help = "show this help" },
    {}
};

static int serve(struct jmp_ctl *ctl, struct jmp_forward *forward)
{
    bool never = false;

    jmp_text_put(stdout, jmp_forward_address(forward));
    fputc('\n', stdout);
    jmp_ctl_flush(ctl);
    return jmp_client_wait(ctl->client, &never, JMP_USEC_INFINITY);
}

JMP_VERB_RUN(jmp_verb_forward_tcp)
{
    const struct jmp_verb_forward *options = object;
    _cleanup_(jmp_forward_freep) struct jmp_forward *forward = NULL;
    unsigned long port;
    char *end;
    int r;

    port = strtoul(words[0], &end, 10);
    if (!*words[0] || *end || *words[0] < '0' || *words[0] > '9' || port > 65535)
        return jmp_ctl_usage(ctl, reterr, "\"%s\" is not a port", words[0]);
    r = jmp_forward_tcp(ctl->session, driver, options->address, (unsigned)port, &forward, reterr);
    return r < 0 ? r : serve(ctl, forward);
}

JMP_VERB_RUN(jmp_verb_forward_unix)
{
    _cleanup_(jmp_forward_freep) struct jmp_forward *forward = NULL;
    _cleanup_free_ char *directory = NULL, *path = NULL;
    const char *top = getenv("XDG_RUNTIME_DIR");
    int r;

    if (!words[0]) {
        if (asprintf(&directory, "%s/jumpstarter-XXXXXX", top && *top == '/' && strlen(top) < 70 ? top : "/tmp") < 0)
            return jmp_error_set(reterr, -ENOMEM, "%m");
        if (!mkdtemp(directory))
            return jmp_error_set(reterr, -errno, "%s cannot be made: %m", directory);
        if (asprintf(&path, "%s/socket", directory) < 0) {
            rmdir(directory);
            return jmp_error_set(reterr, -ENOMEM, "%m");
        }
    }
    r = jmp_forward_unix(ctl->session, driver, path ? path : words[0], &forward, reterr);
    if (r >= 0)
        r = serve(ctl, forward);
    forward = jmp_forward_free(forward);
    if (directory)
        rmdir(directory);
    return r;
}

const struct jmp_option jmp_verb_address_options[] = {
    { JMP_FIELD(struct jmp_verb_address, host), .help = "only the host" },
    { JMP_FIELD(struct jmp_verb_address, port), .help = "only the port" },
    { JMP_FIELD(struct jmp_verb_address, help), .letter = 'h', .help = "show this help" },
    {}
};

JMP_VERB_RUN(jmp_verb_address)
{
    const struct jmp_verb_address *options = object;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *bare = NULL;
    const struct jmp_node *answer = NULL;
    const char *address, *scheme;
    char *host, *colon;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_verb_method(ctl, driver, "address", NULL, tree, &answer, reterr);
    if (r == -EINVAL)
        jmp_error_hint(reterr, "the exporter's configuration does not allow it (enable_address)");
    if (r < 0)
        return r;
    address = jmp_node_string(answer);
    if (!address)
        return jmp_error_set(reterr, -EPROTO, "%s: the answer is no address", driver->path);
    scheme = strstr(address, "://");
    bare = strdup(scheme ? scheme + 3 : address);
    if (!bare)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    host = bare;
    colon = strrchr(bare, ':');
    if (options->host != options->port) {
        /* "[v6]:port": the brackets belong to neither part */
        if (options->port) {
            host = colon && !strchr(colon, ']') ? colon + 1 : bare + strlen(bare);
        } else {
            if (colon && !strchr(colon, ']'))
                *colon = '\0';
            if (*host == '[') {
                host++;
                host[strcspn(host, "]")] = '\0';
            }
        }
    }
    jmp_text_put(stdout, host);
    fputc('\n', stdout);
    return 0;
}
