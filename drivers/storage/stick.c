/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter's machine as a USB stick of the board: dut plugs it in, host pulls it out, and while it is out its file
 * is written. */
#include <string.h>

#include "drivers/families.h"
#include "drivers/storage/gadget.h"
#include "drivers/storage/mux.h"

struct stick {
    struct jmp_mux mux;
    const char *name, *udc, *serial, *product;
    bool read_only;
};

static const struct jmp_option stick_options[] = {
    { .key = "storage_device",
      JMP_FIELD_AS(struct stick, mux.disk.device),
      .required = true,
      .value_name = "PATH",
      .help = "file or block device that is the medium; a file needs its final size" },
    { JMP_FIELD(struct stick, name), .preset = "jmp-stick", .help = "of the gadget in configfs" },
    { JMP_FIELD(struct stick, udc), .nullable = true, .help = "the USB device port, when there are several" },
    { JMP_FIELD(struct stick, serial), .preset = "0123456789ABCDEF", .help = "serial number that the board sees" },
    { JMP_FIELD(struct stick, product), .preset = "Jumpstarter stick", .help = "name that the board sees" },
    { JMP_FIELD(struct stick, read_only), .preset = "false", .help = "the board may not write" },
    JMP_DISK_OPTIONS(struct stick, mux.disk),
    {}
};

static struct jmp_gadget gadget_of(const struct stick *stick)
{
    /* The Linux Foundation's id for this kind of gadget. */
    return (struct jmp_gadget){ .root = "",
                                .name = stick->name,
                                .file = stick->mux.disk.device,
                                .udc = stick->udc,
                                .serial = stick->serial,
                                .maker = "Jumpstarter",
                                .product = stick->product,
                                .vendor_id = 0x1d6b,
                                .product_id = 0x0104,
                                .read_only = stick->read_only,
                                .removable = true };
}

static int stick_check(const void *self, struct jmp_error *reterr)
{
    const struct stick *stick = self;

    if (!*stick->name || strchr(stick->name, '/') || stick->name[0] == '.' || strlen(stick->name) > 64)
        return jmp_error_set(reterr, -EINVAL, "the name of the gadget must do as a directory's");
    return 0;
}

static int stick_select(void *self, struct jmp_call *call, enum jmp_mux_position position)
{
    struct jmp_gadget gadget = gadget_of(self);
    struct jmp_error error = JMP_ERROR_INIT;
    int r;

    r = position == JMP_MUX_DUT ? jmp_gadget_bind(&gadget, &error) : jmp_gadget_unbind(&gadget, &error);
    if (r < 0)
        return jmp_call_fail(call, r, "%s%s%s", error.text, *error.hint ? "; " : "", error.hint);
    jmp_call_log(call, JMP_LOG_INFO, "stick %s the board", position == JMP_MUX_DUT ? "plugged into" : "pulled out of");
    return 0;
}

static int stick_open(void *self, struct jmp_call *call)
{
    struct stick *stick = self;
    struct jmp_gadget gadget = gadget_of(stick);
    int r;

    r = jmp_mux_open(&stick->mux, call);
    if (r < 0)
        return r;
    stick->mux.select = stick_select;
    if (access("/sys/kernel/config/usb_gadget", F_OK) < 0)
        return jmp_call_fail(call, -ENODEV, "/sys/kernel/config/usb_gadget is not there: load the module libcomposite");
    r = jmp_gadget_is_bound(&gadget);
    if (r < 0)
        return jmp_call_fail(call, r, "the gadget %s cannot be asked: %m", stick->name);
    stick->mux.position = r > 0 ? JMP_MUX_DUT : JMP_MUX_HOST;
    return 0;
}

const struct jmp_driver_class jmp_usb_stick_class = {
    JMP_DRIVER_HEAD,
    .name = "usb-stick",
    .kind = "storage",
    .size = sizeof(struct stick),
    .client = "jumpstarter_driver_opendal.client.StorageMuxFlasherClient",
    .help = "this machine's USB device port as a stick of the board",
    .options = stick_options,
    .methods = jmp_mux_methods,
    .check = stick_check,
    .open = stick_open,
    .reset = jmp_mux_reset,
    .close = jmp_mux_close,
};
