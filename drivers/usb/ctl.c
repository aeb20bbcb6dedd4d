/* SPDX-License-Identifier: Apache-2.0 */
/* A few commands about a device that is given away, in the shape that the stock shell client asks for: named methods
 * whose output comes as [standard output, standard error, exit status]. */
#include <string.h>

#include "drivers/usb/device.h"

#define TEXT_MAX 2048u

struct command {
    const char *name;
    int (*run)(struct usb_device *device, char *out, size_t size, struct jmp_error *reterr);
};

static int run_list(struct usb_device *device, char *out, size_t size, struct jmp_error *reterr)
{
    const char *holder = jmp_usb_device_holder(device);
    struct jmp_usb_device info;
    int r;

    r = jmp_usb_device_find(device, &info, reterr);
    if (r < 0)
        return r;
    snprintf(out, size, "%s  %04x:%04x  %s%s%s%s%s%s%s%s\n", info.path, info.vendor, info.product, info.maker,
             *info.maker ? " " : "", *info.name ? info.name : "(no name)", *info.serial ? " " : "", info.serial,
             holder ? "  (in use by " : "", holder ?: "", holder ? ")" : "");
    return 0;
}

static int run_show(struct usb_device *device, char *out, size_t size, struct jmp_error *reterr)
{
    const char *holder = jmp_usb_device_holder(device);
    struct jmp_usb_device info;
    int r;

    r = jmp_usb_device_find(device, &info, reterr);
    if (r < 0)
        return r;
    snprintf(
        out, size,
        "port           %s\nid             %04x:%04x\nrelease        %x.%02x\nmaker          %s\nname           %s\n"
        "serial         %s\nclass          %02x/%02x/%02x\nspeed          %s Mbit/s\nconfiguration  %u of %u\n"
        "interfaces     %u\ndrivers        %s\nnodes          %s\nin use by      %s\n",
        info.path, info.vendor, info.product, info.release >> 8, info.release & 0xff, info.maker, info.name,
        info.serial, info.class, info.subclass, info.protocol, info.speed, info.configuration, info.configurations,
        info.interfaces, info.drivers, info.nodes, holder ?: "nobody");
    return 0;
}

static int run_reset(struct usb_device *device, char *out, size_t size, struct jmp_error *reterr)
{
    return jmp_usb_device_reset(device, reterr);
}

/* Not "reset" alone: drivers have a reset of their own. */
static const struct command commands[] = {
    { "list", run_list },
    { "show", run_show },
    { "usb-reset", run_reset },
};

static int ctl_get_methods(void *self, struct jmp_call *call)
{
    struct jmp_writer *reply = jmp_call_reply(call);

    jmp_writer_begin_list(reply);
    for (size_t i = 0; i < ELEMENTSOF(commands); i++)
        jmp_writer_string(reply, commands[i].name);
    jmp_writer_end_list(reply);
    return 0;
}

static int emit(struct jmp_call *call, const char *out, const char *err, int status)
{
    struct jmp_writer *reply = jmp_call_reply(call);

    jmp_writer_begin_list(reply);
    jmp_writer_string(reply, out);
    jmp_writer_string(reply, err);
    jmp_writer_integer(reply, status);
    jmp_writer_end_list(reply);
    return jmp_call_emit(call);
}

static int ctl_call_method(void *self, struct jmp_call *call)
{
    const char *name = jmp_call_string(call, "name");
    char out[TEXT_MAX] = "", err[TEXT_MAX] = "";
    struct jmp_error error = JMP_ERROR_INIT;

    for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        if (commands[i].run(jmp_call_parent(call), out, sizeof(out), &error) < 0)
            snprintf(err, sizeof(err), "%s\n%s%s%s", error.text, *error.hint ? "hint: " : "", error.hint,
                     *error.hint ? "\n" : "");
        return emit(call, out, err, error.error < 0 ? 1 : 0);
    }
    return jmp_call_fail(call, -EINVAL, "there is no method \"%.60s\"; there are list, show and usb-reset", name);
}

static const struct jmp_method ctl_methods[] = {
    { .name = "get_methods", .call = ctl_get_methods },
    { .name = "call_method", .items = ctl_call_method, .args = { { "name", JMP_STRING }, { "env", JMP_NODE, true } } },
    {}
};

const struct jmp_driver_class jmp_usb_ctl_class = {
    JMP_DRIVER_HEAD,
    .name = "usb-device-ctl",
    .kind = "other",
    .client = "jumpstarter_driver_shell.client.ShellClient",
    .help = "commands: list, show, usb-reset",
    .methods = ctl_methods,
};
