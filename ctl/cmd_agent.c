/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl agent status, agent drain: the exporters of this machine, through their control sockets (docs/control.md) */
#include <dirent.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/json.h"
#include "base/text.h"
#include "ctl/ctl.h"
#include "ctl/output.h"

#define SOCKET "control.sock"
#define ANSWER_MAX (4u * 1024 * 1024)
#define PATIENCE 10   /* seconds for an answer that is due at once */

const struct jmp_option jmp_agent_status_options[] = {
    { JMP_FIELD(struct jmp_agent_status, watch), .letter = 'w', .help = "again at each change, until Ctrl-C" },
    JMP_OUTPUT_OPTION(struct jmp_agent_status),
    JMP_CTL_HELP_OPTION,
    {}
};

/* Where agents keep their sockets: of the system, of this user's. NULL when that is nowhere. */
static char *place(unsigned index)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR"), *tmp = getenv("TMPDIR");
    char *path;
    int n = -1;

    if (index == 0)
        n = asprintf(&path, "/run/jmp-agent");
    else if (index == 1 && xdg && *xdg == '/')
        n = asprintf(&path, "%s/jmp-agent", xdg);
    else if (index == 2)
        n = asprintf(&path, "%s/jmp-agent-%u", tmp && *tmp == '/' ? tmp : "/tmp", (unsigned)geteuid());
    return n < 0 ? NULL : path;
}

#define PLACES 3u

struct found {
    char *path;            /* of the first */
    unsigned count;
    char names[256];       /* for a message */
};

static int note(struct found *found, const char *directory, const char *name)
{
    _cleanup_free_ char *path = NULL;
    size_t used = strlen(found->names);

    if (asprintf(&path, "%s/%s/" SOCKET, directory, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    if (access(path, F_OK) < 0)
        return errno == EACCES ? -EACCES : 0;
    found->count++;
    snprintf(found->names + used, sizeof(found->names) - used, "%s%s", used ? ", " : "", name);
    if (!found->path)
        found->path = TAKE_PTR(path);
    return 0;
}

static int look_in(struct found *found, const char *directory, const char *name)
{
    DIR *dir;
    int r = 0;

    if (name)
        return note(found, directory, name);
    dir = opendir(directory);
    if (!dir)
        return errno == EACCES ? -EACCES : 0;
    for (const struct dirent *entry; r == 0 && (entry = readdir(dir));)
        if (*entry->d_name != '.')
            r = note(found, directory, entry->d_name);
    closedir(dir);
    return r;
}

static int find_socket(const char *name, char **ret, struct jmp_error *reterr)
{
    struct found found = { 0 };
    bool denied = false;

    if (name && strchr(name, '/')) {
        *ret = strdup(name);
        return *ret ? 0 : jmp_error_set(reterr, -ENOMEM, "%m");
    }
    for (unsigned i = 0; i < PLACES && !(name && found.count); i++) {
        _cleanup_free_ char *directory = place(i);
        int r = directory ? look_in(&found, directory, name) : 0;

        if (r == -ENOMEM) {
            free(found.path);
            return jmp_error_set(reterr, r, "%m");
        }
        denied |= r == -EACCES;
    }
    if (found.count == 1) {
        *ret = found.path;
        return 0;
    }
    free(found.path);
    if (found.count > 1) {
        jmp_error_set(reterr, -ENOTUNIQ, "several exporters run here: %s", found.names);
        jmp_error_hint(reterr, "say which one");
        return -ENOTUNIQ;
    }
    if (name)
        jmp_error_set(reterr, -ENOENT, "no exporter %s runs on this machine%s", name,
                      denied ? " that you may see" : "");
    else
        jmp_error_set(reterr, -ENOENT, "no exporter runs on this machine%s", denied ? " that you may see" : "");
    if (denied)
        jmp_error_hint(reterr, "root may see all of them: sudo jmpctl agent ...");
    return -ENOENT;
}

static int dial(const char *path, FILE **ret, struct jmp_error *reterr)
{
    const struct timeval patience = { .tv_sec = PATIENCE };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_close_ int fd = -EBADF;

    if (strlen(path) >= sizeof(address.sun_path))
        return jmp_error_set(reterr, -ENAMETOOLONG, "%s is too long for a socket", path);
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int r = -errno;

        jmp_error_set(reterr, r, "%s: %m", path);
        if (r == -ECONNREFUSED)
            jmp_error_hint(reterr, "the exporter that made it is gone; start it, or remove the file");
        return r;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 || !(*ret = fdopen(fd, "r+")))
        return jmp_error_set(reterr, -errno, "%s: %m", path);
    TAKE_FD(fd);
    return 0;
}

static int ask(FILE *stream, const char *verb, struct jmp_error *reterr)
{
    if (fprintf(stream, "{\"verb\":\"%s\"}\n", verb) < 0 || fflush(stream) != 0)
        return jmp_error_set(reterr, -errno, "the exporter cannot be asked: %m");
    return 0;
}

/* Return: 0 with a whole answer, -ENODATA when the exporter has closed the connection. */
static int hear(FILE *stream, struct jmp_tree *tree, const struct jmp_node **ret, struct jmp_error *reterr)
{
    _cleanup_free_ char *line = NULL;
    const char *error;
    size_t size = 0;
    ssize_t length;
    int r;

    errno = 0;
    length = getline(&line, &size, stream);
    if (length < 0)
        return errno ? jmp_error_set(reterr, -errno, "the exporter does not answer: %m") :
                       jmp_error_set(reterr, -ENODATA, "the exporter has closed the connection");
    if (length > (ssize_t)ANSWER_MAX)
        return jmp_error_set(reterr, -EMSGSIZE, "the exporter's answer is too long");
    r = jmp_json_parse(line, (size_t)length, tree, ret, reterr);
    if (r < 0)
        return r;
    error = jmp_node_string(jmp_node_get(*ret, "error"));
    return error ? jmp_error_set(reterr, -EPROTO, "%s", error) : 0;
}

static const char *text(const struct jmp_node *map, const char *key)
{
    return jmp_node_string(jmp_node_get(map, key)) ?: "";
}

static int64_t number(const struct jmp_node *map, const char *key)
{
    const struct jmp_node *node = jmp_node_get(map, key);

    return node && node->kind == JMP_NODE_NUMBER ? (int64_t)node->number : 0;
}

/* "2 d 3 h", the two largest units. */
static void put_span(FILE *out, int64_t seconds)
{
    if (seconds >= 86400)
        fprintf(out, "%lld d %lld h", (long long)seconds / 86400, (long long)seconds % 86400 / 3600);
    else if (seconds >= 3600)
        fprintf(out, "%lld h %lld min", (long long)seconds / 3600, (long long)seconds % 3600 / 60);
    else if (seconds >= 60)
        fprintf(out, "%lld min %lld s", (long long)seconds / 60, (long long)seconds % 60);
    else
        fprintf(out, "%lld s", (long long)seconds);
}

static void put_row(FILE *out, const char *head, const char *value)
{
    fprintf(out, "%-12s", head);
    jmp_text_put(out, value);
}

static void put_controller(FILE *out, const struct jmp_node *controller)
{
    const struct jmp_node *connected = jmp_node_get(controller, "connected");

    put_row(out, "controller", text(controller, "endpoint"));
    fputs(connected && connected->boolean ? ", connected for " : ", not connected for ", out);
    put_span(out, number(controller, "seconds"));
    fprintf(out, ", %lld reconnects\n", (long long)number(controller, "reconnects"));
    if (*text(controller, "error")) {
        put_row(out, "", "last error: ");
        jmp_text_put(out, text(controller, "error"));
        fputc('\n', out);
    }
}

static void put_drivers(FILE *out, const struct jmp_node *drivers)
{
    JMP_NODE_EACH(driver, drivers) {
        put_row(out, driver == drivers->first ? "drivers" : "", text(driver, "path"));
        fprintf(out, " (%s): ", text(driver, "type"));
        jmp_text_put(out, text(driver, "health"));
        if (*text(driver, "error")) {
            fputs(": ", out);
            jmp_text_put(out, text(driver, "error"));
        }
        fputc('\n', out);
    }
}

static void put_status(FILE *out, const struct jmp_node *status)
{
    const struct jmp_node *lease = jmp_node_get(status, "lease"), *controller = jmp_node_get(status, "controller"),
                          *tunnels = jmp_node_get(status, "tunnels");

    put_row(out, "exporter", text(status, "name"));
    fprintf(out, " (jmp-agent %s, pid %lld, up for ", text(status, "version"), (long long)number(status, "pid"));
    put_span(out, number(status, "seconds"));
    fputs(")\n", out);
    put_row(out, "state", text(status, "state"));
    fputc('\n', out);
    if (lease && lease->kind == JMP_NODE_MAP) {
        put_row(out, "lease", text(lease, "name"));
        fprintf(out, "%s%s, for ", *text(lease, "client") ? " of " : "", text(lease, "client"));
        put_span(out, number(lease, "seconds"));
        fputc('\n', out);
    }
    if (controller && controller->kind == JMP_NODE_MAP)
        put_controller(out, controller);
    JMP_NODE_EACH(tunnel, tunnels) {
        put_row(out, tunnel == tunnels->first ? "tunnels" : "", "through ");
        jmp_text_put(out, text(tunnel, "router"));
        fputs(", for ", out);
        put_span(out, number(tunnel, "seconds"));
        fprintf(out, ", %lld bytes in, %lld out\n", (long long)number(tunnel, "bytes_in"),
                (long long)number(tunnel, "bytes_out"));
    }
    put_drivers(out, jmp_node_get(status, "drivers"));
}

static int print(struct jmp_ctl *ctl, const struct jmp_agent_status *options, const struct jmp_node *answer,
                 struct jmp_error *reterr)
{
    enum jmp_output output = jmp_output_parse(options->output);
    const struct jmp_node *status = jmp_node_get(answer, "status");
    int r = 0;

    if (!status)
        return jmp_error_set(reterr, -EPROTO, "the exporter's answer has no status");
    if (output == JMP_OUTPUT_NAME || output == JMP_OUTPUT_PATH)
        fprintf(stdout, "%s\n", text(status, "name"));
    else if (output == JMP_OUTPUT_TABLE)
        put_status(stdout, status);
    else
        r = jmp_output_document(stdout, output, status, reterr);
    if (options->watch && output == JMP_OUTPUT_TABLE)
        fputc('\n', stdout);
    if (r == 0 && jmp_ctl_flush(ctl) < 0)
        return jmp_error_set(reterr, ctl->output_error, "%m");
    return r;
}

int jmp_cmd_agent_status(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_agent_status *options = object;
    _cleanup_free_ char *path = NULL;
    _cleanup_fclose_ FILE *stream = NULL;
    int r;

    r = find_socket(words[0], &path, reterr);
    if (r == 0)
        r = dial(path, &stream, reterr);
    if (r == 0)
        r = ask(stream, options->watch ? "watch" : "status", reterr);
    do {
        _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
        const struct jmp_node *answer;

        if (r == 0 && jmp_tree_new(0, &tree) < 0)
            r = jmp_error_set(reterr, -ENOMEM, "%m");
        if (r == 0)
            r = hear(stream, tree, &answer, reterr);
        if (r == 0)
            r = print(ctl, options, answer, reterr);
        /* The next may take days. */
        if (r == 0 && setsockopt(fileno(stream), SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ 0 },
                                 sizeof(struct timeval)) < 0)
            r = jmp_error_set(reterr, -errno, "%s: %m", path);
    } while (r == 0 && options->watch);
    return r;
}

int jmp_cmd_agent_drain(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_free_ char *path = NULL;
    _cleanup_fclose_ FILE *stream = NULL;
    const struct jmp_node *answer;
    int r;

    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = find_socket(words[0], &path, reterr);
    if (r == 0)
        r = dial(path, &stream, reterr);
    if (r == 0)
        r = ask(stream, "drain", reterr);
    if (r == 0)
        r = hear(stream, tree, &answer, reterr);
    if (r == 0)
        jmp_ctl_note(ctl, "%s", text(answer, "message"));
    return r;
}
