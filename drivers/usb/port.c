/* SPDX-License-Identifier: Apache-2.0 */
/* The power of one port of a hub, as a switch. */
#include "drivers/usb/port.h"

#include "drivers/families.h"
#include "drivers/usb/hub.h"

struct usb_port {
    const char *path;
};

static const struct jmp_option port_options[] = {
    { JMP_FIELD(struct usb_port, path), .required = true, .value_name = "PATH",
      .help = "of the port, such as 1-1.2; jmp-agent usb tree shows them" },
    {}
};

int jmp_usb_fail(struct jmp_call *call, const struct jmp_error *error)
{
    return jmp_call_fail(call, error->error, "%s%s%s", error->text, *error->hint ? "; " : "", error->hint);
}

int jmp_usb_port_switch(struct jmp_call *call, const char *path, bool on)
{
    char halves[2][JMP_USB_PATH_MAX] = { "", "" };
    struct jmp_error error = JMP_ERROR_INIT;

    if (jmp_port_set(path, on, &error) < 0 || jmp_port_halves("", path, halves, &error) < 0)
        return jmp_usb_fail(call, &error);
    jmp_call_log(call, JMP_LOG_INFO, "port %s%s%s switched %s", path, *halves[1] ? " and its other half " : "",
                 halves[1], on ? "on" : "off");
    return 0;
}

int jmp_usb_port_tell(struct jmp_call *call, const char *path)
{
    struct jmp_error error = JMP_ERROR_INIT;
    struct jmp_port_state state;

    if (jmp_port_get(path, &state, &error) < 0)
        return jmp_usb_fail(call, &error);
    jmp_writer_string(jmp_call_reply(call), state.powered ? "on" : "off");
    return 0;
}

int jmp_usb_port_read(void *self, struct jmp_call *call)
{
    return jmp_call_fail(call, -EOPNOTSUPP, "a USB hub does not measure what its ports draw");
}

static int port_check(const void *self, struct jmp_error *reterr)
{
    const struct usb_port *port = self;

    return jmp_usb_selector_check(&(struct jmp_usb_selector){ .path = port->path }, reterr);
}

/* A hub that cannot switch its ports is known at once, not when the board hangs at night. */
static int port_open(void *self, struct jmp_call *call)
{
    const struct usb_port *port = self;
    struct jmp_error error = JMP_ERROR_INIT;

    return jmp_port_check(port->path, &error) < 0 ? jmp_usb_fail(call, &error) : 0;
}

/* Nothing stays open: a hub is opened for each request, and the port stays as it is. */
static void port_close(void *self)
{
}

static int port_on(void *self, struct jmp_call *call)
{
    return jmp_usb_port_switch(call, ((struct usb_port *)self)->path, true);
}

static int port_off(void *self, struct jmp_call *call)
{
    return jmp_usb_port_switch(call, ((struct usb_port *)self)->path, false);
}

static int port_status(void *self, struct jmp_call *call)
{
    return jmp_usb_port_tell(call, ((struct usb_port *)self)->path);
}

static const struct jmp_method port_methods[] = {
    { .name = "on", .call = port_on },
    { .name = "off", .call = port_off },
    { .name = "read", .items = jmp_usb_port_read },
    { .name = "status", .call = port_status, .help = "on or off, as the hub says" },
    {}
};

const struct jmp_driver_class jmp_usb_port_class = {
    JMP_DRIVER_HEAD,
    .name = "usb-port",
    .kind = "power",
    .size = sizeof(struct usb_port),
    .client = "jumpstarter_driver_power.client.PowerClient",
    .help = "the power of one port of a USB hub",
    .options = port_options,
    .methods = port_methods,
    .open = port_open,
    .close = port_close,
    .check = port_check,
};
