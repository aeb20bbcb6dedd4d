/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs that move images */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/writer.h"
#include "client/resource_client.h"
#include "ctl/ctl.h"
#include "ctl/verb_run.h"

/* After the call has returned, the rest of the bytes is on its way. */
#define FINISH_TIMEOUT (60 * JMP_USEC_PER_SEC)

static const char *const compressions[] = { "gzip", "xz", "bz2", "zstd", NULL };

#define COMPRESSION_OPTION(s) \
    { JMP_FIELD(s, compression), .words = compressions, .value_name = "FORMAT", .help = "how FILE is compressed" }

const struct jmp_option jmp_verb_file_options[] = {
    COMPRESSION_OPTION(struct jmp_verb_file),
    { JMP_FIELD(struct jmp_verb_file, help), .letter = 'h', .help = "show this help" },
    {}
};

const struct jmp_option jmp_verb_flash_options[] = { { .key = "target",
                                                       .type = JMP_STRINGS,
                                                       .offset = offsetof(struct jmp_verb_flash, target),
                                                       .letter = 't',
                                                       .value_name = "NAME:FILE",
                                                       .help = "write FILE to the part NAME" },
                                                     COMPRESSION_OPTION(struct jmp_verb_flash),
                                                     { JMP_FIELD(struct jmp_verb_flash, help), .letter = 'h',
                                                       .help = "show this help" },
                                                     {} };

const struct jmp_option jmp_verb_pico_options[] = {
    { JMP_FIELD(struct jmp_verb_pico, name), .letter = 'n', .value_name = "NAME",
      .help = "of the file on the boot loader's disk" },
    COMPRESSION_OPTION(struct jmp_verb_pico),
    { JMP_FIELD(struct jmp_verb_pico, help), .letter = 'h', .help = "show this help" },
    {}
};

const struct jmp_option jmp_verb_dump_options[] = {
    { JMP_FIELD(struct jmp_verb_dump, target), .value_name = "NAME", .help = "read the part NAME" },
    COMPRESSION_OPTION(struct jmp_verb_dump),
    { JMP_FIELD(struct jmp_verb_dump, help), .letter = 'h', .help = "show this help" },
    {}
};

struct transfer {
    const char *method;                      /* called with the handle */
    const char *file, *compression;
    enum jmp_resource_direction direction;
    bool has_target;                         /* a second argument, which may be null */
    const char *target;
};

struct progress {
    uint64_t size, shown;                    /* size 0: not known */
};

/* On a terminal, ten times a second at most. */
static void on_progress(uint64_t bytes, void *user)
{
    struct progress *progress = user;
    uint64_t now = jmp_now();

    if (now - progress->shown < JMP_USEC_PER_SEC / 10)
        return;
    progress->shown = now;
    if (progress->size > 0)
        fprintf(stderr, "\r%5.1f %%  %.1f MiB ", 100.0 * (double)bytes / (double)progress->size,
                (double)bytes / 1048576);
    else
        fprintf(stderr, "\r%.1f MiB ", (double)bytes / 1048576);
}

static int open_file(const struct transfer *transfer, uint64_t *retsize, struct jmp_error *reterr)
{
    struct stat info;
    off_t at;
    int fd;

    if (strcmp(transfer->file, "-") == 0)
        fd = fcntl(transfer->direction == JMP_RESOURCE_UPLOAD ? STDIN_FILENO : STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    else if (transfer->direction == JMP_RESOURCE_UPLOAD)
        fd = open(transfer->file, O_RDONLY | O_CLOEXEC);
    else
        fd = open(transfer->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        int r = -errno;

        jmp_error_set(reterr, r, "cannot be opened: %s", strerror(-r));
        jmp_error_at(reterr, transfer->file, 0, 0, NULL);
        return r;
    }
    at = lseek(fd, 0, SEEK_CUR); /* of standard input, some may have been read */
    *retsize = at >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > at
                   ? (uint64_t)(info.st_size - at)
                   : 0;
    return fd;
}

/* What the exporter fetches, or leaves there, itself: no bytes pass through here. */
static int url_handle(const struct transfer *transfer, struct jmp_writer *writer, const struct jmp_node **ret)
{
    jmp_writer_begin_map(writer);
    jmp_writer_key(writer, "kind");
    jmp_writer_string(writer, "presigned_request");
    jmp_writer_key(writer, "headers");
    jmp_writer_begin_map(writer);
    jmp_writer_end_map(writer);
    jmp_writer_key(writer, "url");
    jmp_writer_string(writer, transfer->file);
    jmp_writer_key(writer, "method");
    jmp_writer_string(writer, transfer->direction == JMP_RESOURCE_UPLOAD ? "GET" : "PUT");
    jmp_writer_end_map(writer);
    return jmp_writer_finish(writer, ret);
}

/* The exporter's handle; and how large the file is, so that one that does not fit is refused before it is written.
 * Exporters that do not know of that pass over it. */
static void write_handle(struct jmp_writer *writer, const struct jmp_node *handle, uint64_t size)
{
    if (size == 0 || handle->kind != JMP_NODE_MAP) {
        jmp_writer_node(writer, handle);
        return;
    }
    jmp_writer_begin_map(writer);
    JMP_NODE_EACH(member, handle) {
        jmp_writer_key(writer, member->key);
        jmp_writer_node(writer, member);
    }
    jmp_writer_key(writer, "x_jmp_content_length");
    jmp_writer_number(writer, (double)size);
    jmp_writer_end_map(writer);
}

static int call(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, const struct transfer *transfer,
                const struct jmp_node *handle, uint64_t size, struct jmp_tree *tree, struct jmp_writer *writer,
                struct jmp_error *reterr)
{
    const struct jmp_node *args;
    int r;

    jmp_writer_begin_list(writer);
    write_handle(writer, handle, size);
    if (transfer->has_target)
        jmp_writer_string(writer, transfer->target);
    jmp_writer_end_list(writer);
    r = jmp_writer_finish(writer, &args);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    return jmp_verb_method(ctl, driver, transfer->method, args, tree, NULL, reterr);
}

static bool is_url(const char *file) { return strncmp(file, "http://", 7) == 0 || strncmp(file, "https://", 8) == 0; }

static int move(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, const struct transfer *transfer,
                struct jmp_error *reterr)
{
    struct jmp_resource_options options = {
        .uuid = driver->uuid, .encoding = transfer->compression, .direction = transfer->direction };
    _cleanup_(jmp_resource_client_freep) struct jmp_resource_client *resource = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_close_ int fd = -EBADF;
    struct progress progress = { 0 };
    const struct jmp_node *handle;
    uint64_t size = 0;   /* as GCC sees it, open_file() may fail with 0 */
    int r, local = 0;

    r = jmp_tree_new(0, &tree);
    if (r >= 0)
        r = jmp_writer_new(tree, &writer);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    if (is_url(transfer->file)) {
        if (transfer->compression)
            return jmp_ctl_usage(ctl, reterr, "--compression is for files, not for URLs");
        r = url_handle(transfer, writer, &handle);
        return r < 0 ? jmp_error_set(reterr, r, "the URL cannot be sent: %m")
                     : call(ctl, driver, transfer, handle, 0, tree, writer, reterr);
    }

    fd = open_file(transfer, &size, reterr);
    if (fd < 0)
        return fd;
    progress.size = size;
    options.fd = fd;
    if (jmp_ctl_is_terminal(ctl)) {
        options.progress = on_progress;
        options.user = &progress;
    }
    r = jmp_resource_client_open(ctl->session, &options, &resource, reterr);
    if (r < 0) {
        if (r != -ECANCELED)
            jmp_error_prefix(reterr, "%s", driver->path);
        return r;
    }
    r = call(ctl, driver, transfer, jmp_resource_client_handle(resource),
             transfer->direction == JMP_RESOURCE_UPLOAD && !transfer->compression ? size : 0, tree, writer, reterr);
    if (r >= 0)
        local = jmp_resource_client_finish(resource, FINISH_TIMEOUT, reterr);
    else if (r != -ECANCELED)   /* the driver only saw that nothing came any more, or went */
        local = jmp_resource_client_problem(resource, reterr);
    if (local < 0 && local != -ECANCELED)
        jmp_error_prefix(reterr, "%s: %s", driver->path, transfer->file);
    r = local < 0 ? local : r;
    if (progress.shown)
        fprintf(stderr, "\r%.1f MiB%s          \n", (double)jmp_resource_client_bytes(resource) / 1048576,
                r < 0 ? ", then it failed" : "");
    return r;
}

JMP_VERB_RUN(jmp_verb_upload)
{
    const struct jmp_verb_file *options = object;

    return move(ctl, driver,
                &(const struct transfer){ .method = "write",
                                          .file = words[0],
                                          .compression = options->compression,
                                          .direction = JMP_RESOURCE_UPLOAD },
                reterr);
}

JMP_VERB_RUN(jmp_verb_download)
{
    const struct jmp_verb_file *options = object;

    return move(ctl, driver,
                &(const struct transfer){ .method = "read",
                                          .file = words[0],
                                          .compression = options->compression,
                                          .direction = JMP_RESOURCE_DOWNLOAD },
                reterr);
}

/* The storage goes to the board again, also when the transfer failed. */
static int between(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, const struct transfer *transfer,
                   struct jmp_error *reterr)
{
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    struct jmp_error error = { 0 };
    int r, back;

    r = jmp_tree_new(0, &tree);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    r = jmp_verb_method(ctl, driver, "host", NULL, tree, NULL, reterr);
    if (r < 0)
        return r;
    r = move(ctl, driver, transfer, reterr);
    jmp_client_resume(ctl->client);
    back = jmp_verb_method(ctl, driver, "dut", NULL, tree, NULL, &error);
    if (back < 0 && r >= 0) {
        if (reterr)
            *reterr = error;
        return back;
    }
    if (back < 0 && !ctl->quiet)
        jmp_error_print(stderr, "jmpctl", &error);
    return r;
}

JMP_VERB_RUN(jmp_verb_mux_flash)
{
    const struct jmp_verb_file *options = object;

    return between(ctl, driver,
                   &(const struct transfer){ .method = "write",
                                             .file = words[0],
                                             .compression = options->compression,
                                             .direction = JMP_RESOURCE_UPLOAD },
                   reterr);
}

JMP_VERB_RUN(jmp_verb_mux_dump)
{
    const struct jmp_verb_file *options = object;

    return between(ctl, driver,
                   &(const struct transfer){ .method = "read",
                                             .file = words[0],
                                             .compression = options->compression,
                                             .direction = JMP_RESOURCE_DOWNLOAD },
                   reterr);
}

static int flash_file(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, const char *file, const char *target,
                      const char *compression, struct jmp_error *reterr)
{
    return move(ctl, driver,
                &(const struct transfer){ .method = "flash",
                                          .file = file,
                                          .compression = compression,
                                          .direction = JMP_RESOURCE_UPLOAD,
                                          .has_target = true,
                                          .target = target },
                reterr);
}

static int flash_target(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, const char *spec,
                        const char *compression, struct jmp_error *reterr)
{
    const char *colon = strchr(spec, ':');
    _cleanup_free_ char *name = NULL;

    if (!colon || colon == spec || !colon[1])
        return jmp_ctl_usage(ctl, reterr, "--target: \"%s\" is not of the form NAME:FILE", spec);
    name = strndup(spec, (size_t)(colon - spec));
    if (!name)
        return jmp_error_set(reterr, -ENOMEM, "%m");
    return flash_file(ctl, driver, colon + 1, name, compression, reterr);
}

JMP_VERB_RUN(jmp_verb_flash)
{
    const struct jmp_verb_flash *options = object;
    int r;

    if (!words[0] == !options->target)
        return jmp_ctl_usage(ctl, reterr, "%s flash: give either FILE or --target NAME:FILE", driver->path);
    JMP_NODE_EACH(node, options->target) {
        r = flash_target(ctl, driver, jmp_node_string(node), options->compression, reterr);
        if (r < 0)
            return r;
    }
    if (!words[0])
        return 0;
    return flash_file(ctl, driver, words[0], NULL, options->compression, reterr);
}

JMP_VERB_RUN(jmp_verb_flash_pico)
{
    const struct jmp_verb_pico *options = object;

    return flash_file(ctl, driver, words[0], options->name, options->compression, reterr);
}

/* The last part of a path, or of a URL's. Return: NULL: it has none. */
static char *last_part(const char *file)
{
    size_t end = is_url(file) ? strcspn(file, "?#") : strlen(file), from = end;

    while (from > 0 && file[from - 1] != '/')
        from--;
    return from < end && strcmp(file, "-") != 0 ? strndup(file + from, end - from) : NULL;
}

JMP_VERB_RUN(jmp_verb_flash_named)
{
    const struct jmp_verb_file *options = object;
    _cleanup_free_ char *name = last_part(words[0]);

    return flash_file(ctl, driver, words[0], name, options->compression, reterr);
}

JMP_VERB_RUN(jmp_verb_dump)
{
    const struct jmp_verb_dump *options = object;

    return move(ctl, driver,
                &(const struct transfer){ .method = "dump",
                                          .file = words[0],
                                          .compression = options->compression,
                                          .direction = JMP_RESOURCE_DOWNLOAD,
                                          .has_target = true,
                                          .target = options->target },
                reterr);
}
