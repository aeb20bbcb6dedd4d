/* SPDX-License-Identifier: Apache-2.0 */
/* jmpctl usb list, attach, detach, status: devices of an exporter in this machine, through the kernel's vhci */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "ctl/ctl.h"
#include "ctl/output.h"
#include "ctl/verbs.h"
#include "ctl/vhci.h"
#include "drivers/usb/usbip_proto.h"

#define ANSWER_TIMEOUT (20 * JMP_USEC_PER_SEC)
#define RETRY_EVERY (300 * JMP_USEC_PER_MSEC)
#define NETWORK_CLASS "jumpstarter_driver_network.client.NetworkClient"

const struct jmp_option jmp_usb_list_options[] = { JMP_OUTPUT_OPTION(struct jmp_usb_list_command),
                                                   JMP_CTL_LEASE_OPTION,
                                                   JMP_CTL_CLIENT_OPTIONS,
                                                   JMP_CTL_DIRECT_OPTIONS,
                                                   JMP_CTL_HELP_OPTION,
                                                   {} };

const struct jmp_option jmp_usb_attach_options[] = {
    { JMP_FIELD(struct jmp_usb_attach, follow), .preset = "15", .min = 0, .max = 3600, .value_name = "SECONDS",
      .help = "when it goes, wait so long for it, or for what takes its port, and attach that" },
    JMP_CTL_LEASE_OPTION,
    JMP_CTL_CLIENT_OPTIONS,
    JMP_CTL_DIRECT_OPTIONS,
    JMP_CTL_HELP_OPTION,
    {}
};

const struct jmp_option jmp_usb_detach_options[] = {
    { JMP_FIELD(struct jmp_usb_detach, all), .help = "all that is attached, whoever did it" }, JMP_CTL_HELP_OPTION, {}
};

const struct jmp_option jmp_usb_status_options[] = { JMP_OUTPUT_OPTION(struct jmp_usb_list_command),
                                                     JMP_CTL_HELP_OPTION,
                                                     {} };

/*
 * A connection to a USB/IP server: a socket pair, one end of which the pump carries.
 */

struct connection {
    struct jmp_ctl *ctl;
    struct jmp_pump *pump;
    int fd; /* ours */
    bool closed;
    struct jmp_error error;
    struct jmp_io io;
    uint8_t *to; /* where what comes is put */
    size_t left;
    bool done; /* it is all there, or there is no more */
    bool failed;
};

static void connection_close(struct connection *connection)
{
    jmp_io_close(&connection->io);
    jmp_pump_free(connection->pump);
    jmp_close(connection->fd);
    *connection = (struct connection){ .fd = -EBADF };
}

static void on_closed(struct jmp_pump *pump, const struct jmp_status *status, void *user)
{
    struct connection *connection = user;

    connection->pump = jmp_pump_free(pump);
    connection->closed = true;
    jmp_client_wake(connection->ctl->client);
}

static int connection_open(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, struct connection *ret,
                           struct jmp_error *reterr)
{
    static const struct jmp_pump_events events = { .closed = on_closed };
    int pair[2], r;

    *ret = (struct connection){ .ctl = ctl, .fd = -EBADF };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return jmp_error_set(reterr, -errno, "no socket: %m");
    ret->fd = pair[1];
    r = jmp_session_client_open(ctl->session, driver->uuid, "connect", pair[0], &events, ret, &ret->pump, reterr);
    if (r < 0)
        connection_close(ret);
    return r;
}

static void on_readable(struct jmp_io *io, uint32_t events)
{
    struct connection *connection = CONTAINER_OF(io, struct connection, io);
    ssize_t n = recv(connection->fd, connection->to, connection->left, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        connection->to += n;
        connection->left -= (size_t)n;
    }
    connection->failed = n <= 0;
    connection->done = n <= 0 || connection->left == 0;
    if (connection->done) {
        jmp_io_close(io);
        jmp_client_wake(connection->ctl->client);
    }
}

/* Exactly so many bytes and never one more: what follows an import is the kernel's. */
static int receive(struct connection *connection, uint8_t *to, size_t size, struct jmp_error *reterr)
{
    int r;

    if (size == 0)
        return 0;
    connection->to = to;
    connection->left = size;
    connection->done = connection->failed = false;
    r = jmp_io_start(jmp_client_loop(connection->ctl->client), &connection->io, connection->fd, EPOLLIN, on_readable);
    if (r == 0)
        r = jmp_client_wait(connection->ctl->client, &connection->done, ANSWER_TIMEOUT);
    jmp_io_close(&connection->io);
    if (r == -ETIMEDOUT)
        return jmp_error_set(reterr, r, "the exporter did not answer in time");
    if (r < 0)
        return r == -ECANCELED ? r : jmp_error_set(reterr, r, "%m");
    if (connection->failed) {
        jmp_error_set(reterr, -ECONNRESET, "the exporter ended the connection");
        jmp_error_hint(reterr, "its log says why: jmpctl logs");
        return -ECONNRESET;
    }
    return 0;
}

static int request(struct connection *connection, const struct jmp_usbip_request *what, uint32_t *retresult,
                   struct jmp_error *reterr)
{
    uint8_t data[JMP_USBIP_REQUEST_SIZE + JMP_USBIP_BUSID_SIZE];
    size_t size = jmp_usbip_request_write(what, data);
    int r;

    /* A new socket has room for so little. */
    if (send(connection->fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        return jmp_error_set(reterr, -EPIPE, "the request cannot be sent");
    r = receive(connection, data, JMP_USBIP_REQUEST_SIZE, reterr);
    if (r < 0)
        return r;
    if (jmp_usbip_reply_read(data, what->code, retresult) < 0)
        return jmp_error_set(reterr, -EPROTO, "the driver does not speak USB/IP");
    return 0;
}

/* The devices that a driver lists. */
static int list_devices(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver,
                        struct jmp_usbip_device ret[JMP_USBIP_DEVICES_MAX], size_t *retcount, struct jmp_error *reterr)
{
    static const struct jmp_usbip_request what = { .code = JMP_USBIP_DEVLIST };
    _cleanup_(connection_close) struct connection connection = { .fd = -EBADF };
    uint8_t data[JMP_USBIP_DEVICE_SIZE + UINT8_MAX * JMP_USBIP_INTERFACE_SIZE];
    uint32_t result, count;
    int r;

    r = connection_open(ctl, driver, &connection, reterr);
    if (r == 0)
        r = request(&connection, &what, &result, reterr);
    if (r == 0)
        r = receive(&connection, data, 4, reterr);
    if (r < 0)
        return r;
    count = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
    if (result != JMP_USBIP_OK || count > JMP_USBIP_DEVICES_MAX)
        return jmp_error_set(reterr, -EPROTO, "%s lists %u devices, with result %u", driver->path, count, result);
    for (uint32_t i = 0; i < count; i++) {
        r = receive(&connection, data, JMP_USBIP_DEVICE_SIZE, reterr);
        if (r < 0)
            return r;
        jmp_usbip_device_read(data, &ret[i]);
        r = receive(&connection, data, ret[i].interfaces * JMP_USBIP_INTERFACE_SIZE, reterr);
        if (r < 0)
            return r;
    }
    *retcount = count;
    return 0;
}

/* The stream of a driver that gives a USB device away, or NULL: children as the driver usb-device has them. */
static const struct jmp_driver_ref *stream_of(const struct jmp_driver_ref *driver)
{
    const struct jmp_driver_ref *ip = jmp_driver_ref_child(driver, "ip");

    return ip && jmp_driver_ref_child(driver, "redir") && strcmp(ip->client_class, NETWORK_CLASS) == 0 ? ip : NULL;
}

static const char *speed_name(uint32_t speed)
{
    static const char *const names[] = { "?", "1.5", "12", "480", "480", "5000", "10000" };

    return names[speed < ELEMENTSOF(names) ? speed : 0];
}

/*
 * list
 */

struct listing {
    enum jmp_output output;
    struct jmp_table *table;
    struct jmp_writer *writer;
};

static void list_one(struct listing *listing, const struct jmp_driver_ref *driver,
                     const struct jmp_usbip_device *device)
{
    char id[16];
    const struct {
        const char *key, *value;
    } cells[] = {
        { "driver", driver->path },
        { "busid", device->busid },
        { "id", id },
        { "speed", speed_name(device->speed) },
        { "description", driver->description },
    };

    snprintf(id, sizeof(id), "%04x:%04x", device->vendor, device->product);
    if (listing->table) {
        for (size_t i = 0; i < ELEMENTSOF(cells); i++)
            jmp_table_cell(listing->table, cells[i].value);
        return;
    }
    jmp_writer_begin_map(listing->writer);
    for (size_t i = 0; i < ELEMENTSOF(cells); i++) {
        jmp_writer_key(listing->writer, cells[i].key);
        jmp_writer_string(listing->writer, cells[i].value);
    }
    jmp_writer_end_map(listing->writer);
}

static int list_all(struct jmp_ctl *ctl, struct listing *listing, struct jmp_error *reterr)
{
    const struct jmp_driver_ref *root = ctl->drivers->root;

    for (struct jmp_driver_ref *ref = root->first; ref; ref = jmp_driver_ref_next(root, ref)) {
        struct jmp_usbip_device devices[JMP_USBIP_DEVICES_MAX];
        const struct jmp_driver_ref *stream = stream_of(ref);
        size_t count = 0;
        int r;

        if (!stream)
            continue;
        r = list_devices(ctl, stream, devices, &count, reterr);
        if (r < 0)
            return r;
        for (size_t i = 0; i < count; i++)
            list_one(listing, ref, &devices[i]);
        if (count == 0)
            jmp_ctl_note(ctl, "the device of %s is not plugged in", ref->path);
    }
    return 0;
}

int jmp_cmd_usb_list(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_usb_list_command *options = object;
    static const char *const heads[] = { "DRIVER", "BUSID", "ID", "SPEED", "DESCRIPTION", NULL };
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    _cleanup_(jmp_table_freep) struct jmp_table *table = NULL;
    struct listing listing = { .output = jmp_output_parse(options->output) };
    bool document = listing.output == JMP_OUTPUT_JSON || listing.output == JMP_OUTPUT_YAML;
    const struct jmp_node *node;
    int r;

    r = jmp_ctl_need_session(ctl, reterr);
    if (r < 0)
        return r;
    r = jmp_tree_new(0, &tree);
    if (r == 0)
        r = document ? jmp_writer_new(tree, &writer) : jmp_table_new(heads, &table);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    listing.table = table;
    listing.writer = writer;
    if (document)
        jmp_writer_begin_list(writer);
    r = list_all(ctl, &listing, reterr);
    if (r < 0)
        return r;
    if (!document) {
        r = jmp_table_print(stdout, table);
        return r < 0 ? jmp_error_set(reterr, r, "%m") : 0;
    }
    jmp_writer_end_list(writer);
    r = jmp_writer_finish(writer, &node);
    return r < 0 ? jmp_error_set(reterr, r, "%m") : jmp_output_document(stdout, listing.output, node, reterr);
}

/*
 * attach
 */

static const char *result_words(uint32_t result)
{
    static const char *const words[] = {
        [JMP_USBIP_NOT_AVAILABLE] = "it is not given away",
        [JMP_USBIP_BUSY] = "somebody else has it",
        [JMP_USBIP_FAULTY] = "it does not work",
        [JMP_USBIP_NO_DEVICE] = "it is not plugged in",
    };

    return result < ELEMENTSOF(words) && words[result] ? words[result] : "for a reason that this program does not know";
}

/* Import the device, and give the connection to the kernel. @connection lives as long as it is attached. */
static int attach(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, const char *name,
                  struct connection *connection, unsigned *retport, struct jmp_error *reterr)
{
    struct jmp_usbip_request what = { .code = JMP_USBIP_IMPORT };
    struct jmp_usbip_device devices[JMP_USBIP_DEVICES_MAX], device;
    uint8_t data[JMP_USBIP_DEVICE_SIZE];
    uint32_t result = 0;
    size_t count;
    int r;

    r = list_devices(ctl, driver, devices, &count, reterr);
    if (r < 0)
        return r;
    if (count == 0)
        return jmp_error_set(reterr, -ENODEV, "the device of %s is not plugged in", name);
    memcpy(what.busid, devices[0].busid, sizeof(what.busid));

    r = connection_open(ctl, driver, connection, reterr);
    if (r == 0)
        r = request(connection, &what, &result, reterr);
    if (r == 0 && result != JMP_USBIP_OK) {
        r = jmp_error_set(reterr, result == JMP_USBIP_BUSY ? -EBUSY : -ENODEV, "%s cannot be had: %s", name,
                          result_words(result));
        jmp_error_hint(reterr, "the exporter's log says more: jmpctl logs");
    }
    if (r == 0)
        r = receive(connection, data, sizeof(data), reterr);
    if (r < 0)
        return r;

    jmp_usbip_device_read(data, &device);
    r = jmp_vhci_attach("", connection->fd, device.bus << 16 | device.address, device.speed, name, device.busid,
                        retport, reterr);
    if (r < 0)
        return r;
    /* The kernel has a reference of its own; ours would keep the stream open when it lets go. */
    connection->fd = jmp_close(connection->fd);
    printf("virtual port %u: %s %04x:%04x of %s\n", *retport, device.busid, device.vendor, device.product, name);
    return jmp_ctl_flush(ctl);
}

/* It may need some time to come back as what it is now. */
static int attach_within(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, const char *name, uint64_t patience,
                         struct connection *connection, unsigned *retport, struct jmp_error *reterr)
{
    uint64_t deadline = jmp_now() + patience;
    int r;

    for (;;) {
        struct jmp_error error = JMP_ERROR_INIT;

        r = attach(ctl, driver, name, connection, retport, &error);
        if (r >= 0)
            return 0;
        connection_close(connection);
        /* Busy: until its end of the old connection has been noticed. */
        if ((r == -ENODEV || r == -EBUSY || r == -ECONNRESET) && jmp_now() < deadline &&
            !jmp_client_interrupted(ctl->client)) {
            r = jmp_client_pause(ctl->client, RETRY_EVERY);
            if (r == 0)
                continue;
        }
        if (reterr && r != -ECANCELED)
            *reterr = error;
        return r;
    }
}

static int attach_and_follow(struct jmp_ctl *ctl, const struct jmp_driver_ref *driver, const char *name,
                             uint64_t follow, struct jmp_error *reterr)
{
    _cleanup_(connection_close) struct connection connection = { .fd = -EBADF };
    uint64_t patience = 0;
    unsigned port = 0;
    int r;

    for (;;) {
        r = attach_within(ctl, driver, name, patience, &connection, &port, reterr);
        if (r < 0)
            return r;
        r = jmp_client_wait(ctl->client, &connection.closed, JMP_USEC_INFINITY);
        if (r < 0) {
            jmp_vhci_detach("", port, NULL);
            return r;
        }
        connection_close(&connection);
        if (!jmp_vhci_is_recorded("", port)) {
            jmp_ctl_note(ctl, "%s is detached", name);
            return 0;
        }
        jmp_vhci_forget("", port);
        if (follow == 0)
            return jmp_error_set(reterr, -ENODEV, "the device of %s has gone", name);
        jmp_ctl_note(ctl, "the device of %s has gone; waiting for it, or for what takes its port", name);
        patience = follow;
    }
}

int jmp_cmd_usb_attach(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_usb_attach *options = object;
    const struct jmp_driver_ref *stream;
    struct jmp_driver_ref *driver;
    unsigned used = 0;
    int r;

    /* Before a lease is dialled, what cannot work anyway. */
    r = jmp_vhci_check("", reterr);
    if (r == 0)
        r = jmp_ctl_need_session(ctl, reterr);
    if (r == 0)
        r = jmp_driver_tree_find(ctl->drivers, words, &driver, &used, reterr);
    if (r < 0)
        return r;
    stream = stream_of(driver);
    if (!stream && strcmp(driver->client_class, NETWORK_CLASS) == 0)
        stream = driver; /* whatever speaks USB/IP */
    if (!stream || words[used]) {
        jmp_error_set(reterr, -ENOENT, "%s is no USB device", words[used] ? words[used] : driver->path);
        jmp_error_hint(reterr, "jmpctl usb list shows what there is");
        return -ENOENT;
    }
    return attach_and_follow(ctl, stream, driver->path, (uint64_t)(options->follow * (double)JMP_USEC_PER_SEC), reterr);
}

/*
 * detach and status: of this machine, no exporter is asked.
 */

/* @word: its number, or what it comes from; NULL: any */
static bool is_meant(const struct jmp_vhci_port *port, const char *word)
{
    char number[16];

    snprintf(number, sizeof(number), "%u", port->number);
    return port->used && (!word || strcmp(word, number) == 0 || strcmp(word, port->from) == 0);
}

int jmp_cmd_usb_detach(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_usb_detach *options = object;
    struct jmp_vhci_port ports[JMP_VHCI_PORTS_MAX];
    unsigned detached = 0;
    size_t count;
    int r;

    if (options->all == (words[0] != NULL))
        return jmp_ctl_usage(ctl, reterr, "a port's number, a driver, or --all: one of them has to be given");
    r = jmp_vhci_check("", reterr);
    if (r == 0)
        r = jmp_vhci_ports("", ports, &count, reterr);
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (!is_meant(&ports[i], words[0]))
            continue;
        r = jmp_vhci_detach("", ports[i].number, reterr);
        if (r == -ENOENT && options->all)
            r = 0; /* it went by itself just now */
        detached++;
    }
    if (r == 0 && detached == 0 && !options->all) {
        jmp_error_set(reterr, -ENOENT, "nothing called \"%s\" is attached", words[0]);
        jmp_error_hint(reterr, "jmpctl usb status shows what is");
        r = -ENOENT;
    }
    return r;
}

int jmp_cmd_usb_status(struct jmp_ctl *ctl, void *object, char **words, struct jmp_error *reterr)
{
    const struct jmp_usb_list_command *options = object;
    static const char *const heads[] = { "PORT", "FROM", "BUSID", "HERE", NULL };
    _cleanup_(jmp_tree_freep) struct jmp_tree *tree = NULL;
    _cleanup_(jmp_writer_freep) struct jmp_writer *writer = NULL;
    _cleanup_(jmp_table_freep) struct jmp_table *table = NULL;
    enum jmp_output output = jmp_output_parse(options->output);
    bool document = output == JMP_OUTPUT_JSON || output == JMP_OUTPUT_YAML;
    struct jmp_vhci_port ports[JMP_VHCI_PORTS_MAX];
    const struct jmp_node *node;
    size_t count;
    int r;

    r = jmp_vhci_ports("", ports, &count, reterr);
    if (r < 0)
        return r;
    r = jmp_tree_new(0, &tree);
    if (r == 0)
        r = jmp_writer_new(tree, &writer);
    if (r == 0)
        r = jmp_table_new(heads, &table);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");

    jmp_writer_begin_list(writer);
    for (size_t i = 0; i < count; i++) {
        char number[16];
        const struct {
            const char *key, *value;
        } cells[] = {
            { "port", number },
            { "from", ports[i].from },
            { "busid", ports[i].remote },
            { "here", ports[i].busid },
        };

        if (!ports[i].used)
            continue;
        snprintf(number, sizeof(number), "%u", ports[i].number);
        jmp_writer_begin_map(writer);
        for (size_t j = 0; j < ELEMENTSOF(cells); j++) {
            jmp_table_cell(table, *cells[j].value ? cells[j].value : "-");
            jmp_writer_key(writer, cells[j].key);
            jmp_writer_string(writer, cells[j].value);
        }
        jmp_writer_end_map(writer);
    }
    jmp_writer_end_list(writer);
    r = document ? jmp_writer_finish(writer, &node) : jmp_table_print(stdout, table);
    if (r < 0)
        return jmp_error_set(reterr, r, "%m");
    return document ? jmp_output_document(stdout, output, node, reterr) : 0;
}
