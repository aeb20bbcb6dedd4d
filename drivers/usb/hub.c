/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/usb/hub.h"

#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <string.h>

#include "drivers/usb/handle.h"

#define TRANSFER_TIMEOUT 1000u /* milliseconds; a hub answers in a few */
#define PORT_POWER 8u          /* feature selector */
#define SWITCHING_MASK 0x03u   /* of wHubCharacteristics: 0 all together, 1 each by itself, others none */
#define SWITCHING_EACH 0x01u

/* One of the two ports behind a socket. */
struct port {
    const struct jmp_usb_device *hub;
    unsigned number;
    char directory[PATH_MAX]; /* in sysfs; "" where the kernel has none */
};

struct socket {
    const char *root; /* "", or a copy of / */
    struct jmp_usb_list *list;
    struct port ports[2];
    size_t count;
};

static void socket_close(struct socket *socket)
{
    jmp_usb_list_free(socket->list);
}

static bool is_superspeed(const struct jmp_usb_device *hub)
{
    return strtoul(hub->speed, NULL, 10) >= 5000;
}

static void find_directory(const char *root, struct port *port)
{
    char pattern[PATH_MAX];
    glob_t found;

    snprintf(pattern, sizeof(pattern), "%.3000s/sys/bus/usb/devices/%s/*:*/%s-port%u", root, port->hub->path,
             port->hub->path, port->number);
    if (glob(pattern, 0, NULL, &found) == 0)
        snprintf(port->directory, sizeof(port->directory), "%s", found.gl_pathv[0]);
    globfree(&found);
}

static int add_port(struct socket *socket, const char *path, const char *hub, unsigned number, struct jmp_error *reterr)
{
    struct port *port = &socket->ports[socket->count];

    port->hub = jmp_usb_at(socket->list, hub);
    port->number = number;
    if (!port->hub || !port->hub->hub) {
        jmp_error_set(reterr, -ENODEV, "there is no hub %s, whose port %s would be", hub, path);
        jmp_error_hint(reterr, "jmp-agent usb tree shows all hubs");
        return -ENODEV;
    }
    if (number < 1 || number > port->hub->ports)
        return jmp_error_set(reterr, -ENODEV, "hub %s has %u ports, and none with number %u", hub, port->hub->ports,
                             number);
    find_directory(socket->root, port);
    socket->count++;
    return 0;
}

/* The kernel knows which ports belong together: ".../2-1:1.0/2-1-port3". */
static void add_companion(struct socket *socket)
{
    char link[PATH_MAX + 8], target[PATH_MAX], hub[JMP_USB_PATH_MAX], *name, *dash;
    ssize_t n;

    snprintf(link, sizeof(link), "%s/peer", socket->ports[0].directory);
    n = *socket->ports[0].directory ? readlink(link, target, sizeof(target) - 1) : -1;
    if (n < 0)
        return;
    target[n] = '\0';
    name = strrchr(target, '/');
    name = name ? name + 1 : target;
    dash = strstr(name, "-port");
    if (!dash || (size_t)(dash - name) >= sizeof(hub))
        return;
    snprintf(hub, sizeof(hub), "%.*s", (int)(dash - name), name);
    /* A companion that has gone meanwhile feeds nothing. */
    add_port(socket, name, hub, (unsigned)strtoul(dash + 5, NULL, 10), NULL);
}

static int socket_open(const char *root, const char *path, struct socket *ret, struct jmp_error *reterr)
{
    char hub[JMP_USB_PATH_MAX];
    unsigned number;
    int r;

    ret->root = root;
    r = jmp_usb_port_split(path, hub, &number);
    if (r < 0)
        return jmp_error_set(reterr, r, "\"%s\" is not the path of a USB port", path);
    r = jmp_usb_list_read(root, &ret->list);
    if (r < 0)
        return jmp_error_set(reterr, r, "the USB devices cannot be listed: %m");
    r = add_port(ret, path, hub, number, reterr);
    if (r < 0)
        return r;
    add_companion(ret);
    return 0;
}

static int hub_error(const struct jmp_usb_device *hub, const char *what, int r, struct jmp_error *reterr)
{
    if (r == -ETIMEDOUT)
        return jmp_error_set(reterr, r, "hub %s did not answer within a second (%s)", hub->path, what);
    return jmp_error_set(reterr, r, "hub %s: %s: %m", hub->path, what);
}

static int get_switching(const struct jmp_usb_device *hub, const struct jmp_usb_handle *handle,
                         struct jmp_error *reterr)
{
    unsigned type = is_superspeed(hub) ? LIBUSB_DT_SUPERSPEED_HUB : LIBUSB_DT_HUB;
    unsigned char descriptor[32] = { 0 };
    int n;

    n = libusb_control_transfer(
        handle->handle, LIBUSB_ENDPOINT_IN | LIBUSB_REQUEST_TYPE_CLASS | LIBUSB_RECIPIENT_DEVICE,
        LIBUSB_REQUEST_GET_DESCRIPTOR, (uint16_t)(type << 8), 0, descriptor, sizeof(descriptor), TRANSFER_TIMEOUT);
    if (n < 0)
        return hub_error(hub, "its descriptor cannot be read", jmp_usb_errno(n), reterr);
    if (n < 7 || descriptor[1] != type)
        return jmp_error_set(reterr, -EPROTO, "hub %s has a descriptor that is none", hub->path);
    return (descriptor[3] & SWITCHING_MASK) == SWITCHING_EACH;
}

static int need_switching(const struct jmp_usb_device *hub, const struct jmp_usb_handle *handle,
                          struct jmp_error *reterr)
{
    int r = get_switching(hub, handle, reterr);

    if (r == 0)
        return jmp_error_set(reterr, -EOPNOTSUPP, "hub %s cannot switch its ports one by one", hub->path);
    return r < 0 ? r : 0;
}

int jmp_hub_switches(const struct jmp_usb_device *hub, struct jmp_error *reterr)
{
    _cleanup_(jmp_usb_close) struct jmp_usb_handle handle = JMP_USB_HANDLE_CLOSED;
    int r;

    r = jmp_usb_open(hub, &handle, reterr);
    return r < 0 ? r : get_switching(hub, &handle, reterr);
}

static int get_status(const struct port *port, const struct jmp_usb_handle *handle, struct jmp_port_state *ret,
                      struct jmp_error *reterr)
{
    unsigned char status[4] = { 0 };
    unsigned bits;
    int n;

    n = libusb_control_transfer(handle->handle, LIBUSB_ENDPOINT_IN | LIBUSB_REQUEST_TYPE_CLASS | LIBUSB_RECIPIENT_OTHER,
                                LIBUSB_REQUEST_GET_STATUS, 0, (uint16_t)port->number, status, sizeof(status),
                                TRANSFER_TIMEOUT);
    if (n < 0)
        return hub_error(port->hub, "the state of a port cannot be read", jmp_usb_errno(n), reterr);
    if (n < (int)sizeof(status))
        return jmp_error_set(reterr, -EPROTO, "hub %s tells half the state of its port %u", port->hub->path,
                             port->number);

    bits = status[0] | (unsigned)status[1] << 8;
    *ret = (struct jmp_port_state){
        .connected = bits & 1,
        .enabled = bits & 2,
        .overcurrent = bits & 8,
        .powered = bits & (is_superspeed(port->hub) ? 0x200 : 0x100),
    };
    return 0;
}

/* The kernel disconnects the device in order, and then switches; it also keeps the port off, whatever happens to the
 * hub. 1: it cannot, or we may not ask it; -ETIMEDOUT: the hub did not answer, and would not answer us either. */
static int set_by_kernel(const struct port *port, bool on)
{
    char path[PATH_MAX + 16];
    _cleanup_close_ int fd = -EBADF;

    if (!*port->directory)
        return 1;
    snprintf(path, sizeof(path), "%s/disable", port->directory);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return 1;
    if (write(fd, on ? "0" : "1", 1) == 1)
        return 0;
    return errno == ETIMEDOUT ? -ETIMEDOUT : 1;
}

static int port_set(const struct port *port, bool on, struct jmp_error *reterr)
{
    _cleanup_(jmp_usb_close) struct jmp_usb_handle handle = JMP_USB_HANDLE_CLOSED;
    struct jmp_port_state state = { 0 };
    int r;

    r = jmp_usb_open(port->hub, &handle, reterr);
    if (r < 0)
        return r;
    r = need_switching(port->hub, &handle, reterr);
    if (r < 0)
        return r;

    r = set_by_kernel(port, on);
    if (r > 0)
        r = jmp_usb_errno(libusb_control_transfer(handle.handle, LIBUSB_REQUEST_TYPE_CLASS | LIBUSB_RECIPIENT_OTHER,
                                                  on ? LIBUSB_REQUEST_SET_FEATURE : LIBUSB_REQUEST_CLEAR_FEATURE,
                                                  PORT_POWER, (uint16_t)port->number, NULL, 0, TRANSFER_TIMEOUT));
    if (r < 0)
        return hub_error(port->hub, on ? "a port cannot be switched on" : "a port cannot be switched off", r, reterr);

    r = get_status(port, &handle, &state, reterr);
    if (r < 0)
        return r;
    if (state.powered != on)
        return jmp_error_set(reterr, -EIO, "hub %s was told to switch its port %u %s, but the port is still %s",
                             port->hub->path, port->number, on ? "on" : "off", on ? "off" : "on");
    return 0;
}

int jmp_port_halves(const char *root, const char *path, char ret[2][JMP_USB_PATH_MAX], struct jmp_error *reterr)
{
    _cleanup_(socket_close) struct socket socket = { 0 };
    int r;

    r = socket_open(root, path, &socket, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < 2; i++) {
        const struct port *port = &socket.ports[i];
        const char *hub = i < socket.count ? port->hub->path : "";
        bool top = strncmp(hub, "usb", 3) == 0; /* port 3 of usb1 is 1-3, of 1-1 it is 1-1.3 */

        if (i < socket.count)
            snprintf(ret[i], JMP_USB_PATH_MAX, "%.20s%c%u", top ? hub + 3 : hub, top ? '-' : '.', port->number);
        else
            *ret[i] = '\0';
    }
    return (int)socket.count;
}

int jmp_port_check(const char *path, struct jmp_error *reterr)
{
    _cleanup_(socket_close) struct socket socket = { 0 };
    int r;

    r = socket_open("", path, &socket, reterr);
    for (size_t i = 0; r == 0 && i < socket.count; i++) {
        _cleanup_(jmp_usb_close) struct jmp_usb_handle handle = JMP_USB_HANDLE_CLOSED;

        r = jmp_usb_open(socket.ports[i].hub, &handle, reterr);
        if (r == 0)
            r = need_switching(socket.ports[i].hub, &handle, reterr);
    }
    return r;
}

int jmp_port_set(const char *path, bool on, struct jmp_error *reterr)
{
    _cleanup_(socket_close) struct socket socket = { 0 };
    int r;

    r = socket_open("", path, &socket, reterr);
    for (size_t i = 0; r == 0 && i < socket.count; i++)
        r = port_set(&socket.ports[i], on, reterr);
    return r;
}

int jmp_port_get(const char *path, struct jmp_port_state *ret, struct jmp_error *reterr)
{
    _cleanup_(socket_close) struct socket socket = { 0 };
    struct jmp_port_state state = { 0 };
    int r;

    r = socket_open("", path, &socket, reterr);
    for (size_t i = 0; r == 0 && i < socket.count; i++) {
        _cleanup_(jmp_usb_close) struct jmp_usb_handle handle = JMP_USB_HANDLE_CLOSED;
        struct jmp_port_state one = { 0 };

        r = jmp_usb_open(socket.ports[i].hub, &handle, reterr);
        if (r == 0)
            r = get_status(&socket.ports[i], &handle, &one, reterr);
        state.powered |= one.powered;
        state.connected |= one.connected;
        state.enabled |= one.enabled;
        state.overcurrent |= one.overcurrent;
    }
    if (r == 0)
        *ret = state;
    return r;
}
