/* SPDX-License-Identifier: Apache-2.0 */
/* What can be seen without a device: tests/lab has the others. No machine has a bus 99. */
#include <string.h>

#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"
#include "drivers/usb/usbip_proto.h"

#define ABSENT "{\"path\": \"99-1.2\"}"

JMP_TEST(options_are_checked_before_anything_is_opened)
{
    static const struct {
        const struct jmp_driver_class *driver;
        const char *config, *says;
    } rows[] = {
        { &jmp_usb_device_class, ABSENT, NULL },
        { &jmp_usb_device_class, "{\"id\": \"0483:df11\", \"serial\": \"X\", \"follow\": 0}", NULL },
        { &jmp_usb_device_class, "{\"id\": \"0483:df11\", \"filter\": \"0x08,-1,-1,-1,0|-1,-1,-1,-1,1\"}", NULL },
        { &jmp_usb_device_class, "{}", "no device is named" },
        { &jmp_usb_device_class, "{\"path\": \"usb1\"}", "not the path of a USB port" },
        { &jmp_usb_device_class, "{\"id\": \"0483\"}", "not a vendor and a product" },
        { &jmp_usb_device_class, "{\"path\": \"1-1\", \"filter\": \"disks\"}", "is not a filter" },
        { &jmp_usb_device_class, "{\"path\": \"1-1\", \"follow\": -1}", "follow" },
        { &jmp_usb_port_class, ABSENT, NULL },
        { &jmp_usb_port_class, "{}", "path" },
        { &jmp_usb_port_class, "{\"path\": \"1\"}", "not the path of a USB port" },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        const char *problem = device_problem(rows[i].driver, rows[i].config);

        if (!rows[i].says != !problem || (problem && !strstr(problem, rows[i].says)))
            fail_msg("row %zu: %s", i, problem ?: "no problem");
    }
}

JMP_TEST(a_port_of_no_hub_is_gone)
{
    _cleanup_(device_freep) struct device *device = device_new(&jmp_usb_port_class, ABSENT);

    assert_int_equal(device_open(device), -ENODEV);
    assert_non_null(strstr(device_error(device), "no hub 99-1"));
    assert_int_equal(device_call(device, "on", NULL), -ENODEV);
    assert_int_equal(device_call(device, "status", NULL), -ENODEV);
    assert_int_equal(device_call(device, "read", NULL), -EOPNOTSUPP);
}

/* It is opened nevertheless, because its port may have to be switched on first. */
JMP_TEST(a_device_that_is_not_there_lists_nothing_and_is_not_given_away)
{
    static const struct jmp_usbip_request list = { JMP_USBIP_DEVLIST, "" }, import = { JMP_USBIP_IMPORT, "99-1.2" };
    _cleanup_(device_freep) struct device *device = device_new(&jmp_usb_device_class, ABSENT);
    _cleanup_(device_freep) struct device *ip = device_child(device, "ip", NULL);
    uint8_t data[JMP_USBIP_REQUEST_SIZE + JMP_USBIP_BUSID_SIZE];
    _cleanup_close_ int one = -EBADF, two = -EBADF, three = -EBADF;
    uint32_t result = 99;

    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_open(ip), 0);

    assert_int_equal(device_stream(ip, "connect", &one), 0);
    fd_write_all(one, data, jmp_usbip_request_write(&list, data));
    fd_read_all(one, data, 12);
    assert_int_equal(jmp_usbip_reply_read(data, JMP_USBIP_DEVLIST, &result), 0);
    assert_int_equal(result, JMP_USBIP_OK);
    assert_memory_equal(data + 8, "\0\0\0\0", 4);
    fd_expect_end(one);

    assert_int_equal(device_stream(ip, "connect", &two), 0);
    fd_write_all(two, data, jmp_usbip_request_write(&import, data));
    fd_read_all(two, data, 8);
    assert_int_equal(jmp_usbip_reply_read(data, JMP_USBIP_IMPORT, &result), 0);
    assert_int_equal(result, JMP_USBIP_NO_DEVICE);
    fd_expect_end(two);
    assert_non_null(strstr(device_log(ip), "no USB device in port 99-1.2"));

    assert_int_equal(device_stream(ip, "connect", &three), 0);
    fd_write_all(three, "GET / HTTP/1.0\r\n", 16);
    fd_expect_end(three);
    assert_non_null(strstr(device_log(ip), "sent something else"));
}

JMP_TEST(a_device_that_is_not_there_is_not_redirected)
{
    _cleanup_(device_freep) struct device *device = device_new(&jmp_usb_device_class, ABSENT);
    _cleanup_(device_freep) struct device *redir = device_child(device, "redir", NULL);
    _cleanup_close_ int fd = -EBADF;

    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_open(redir), 0);
    assert_int_equal(device_stream(redir, "connect", &fd), 0);
    fd_expect_end(fd);
    assert_non_null(strstr(device_log(redir), "no USB device in port 99-1.2"));
}

JMP_TEST(commands_answer_as_the_shell_client_asks)
{
    _cleanup_(device_freep) struct device *device = device_new(&jmp_usb_device_class, ABSENT);
    _cleanup_(device_freep) struct device *ctl = device_child(device, "ctl", NULL);
    static const char *const names[] = { "list", "show", "usb-reset" };

    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_open(ctl), 0);
    assert_int_equal(device_call(ctl, "get_methods", NULL), 0);
    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        assert_string_equal(jmp_node_string(jmp_node_at(device_result(ctl), i)), names[i]);

    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        const struct jmp_node *item;
        char args[64];

        snprintf(args, sizeof(args), "[\"%s\", {}]", names[i]);
        assert_int_equal(device_call(ctl, "call_method", args), 0);
        assert_int_equal(device_result(ctl)->count, 1);
        item = jmp_node_at(device_result(ctl), 0);
        assert_string_equal(jmp_node_string(jmp_node_at(item, 0)), "");
        assert_non_null(strstr(jmp_node_string(jmp_node_at(item, 1)), "no USB device in port 99-1.2"));
        assert_int_equal(jmp_node_at(item, 2)->integer, 1);
    }
    assert_int_equal(device_call(ctl, "call_method", "[\"format\", {}]"), -EINVAL);
}

JMP_TEST(the_port_of_a_device_is_its_own)
{
    _cleanup_(device_freep) struct device *device = device_new(&jmp_usb_device_class, ABSENT);
    _cleanup_(device_freep) struct device *port = device_child(device, "port", NULL);
    _cleanup_(device_freep) struct device *other =
        device_new(&jmp_usb_device_class, "{\"serial\": \"no such number\"}");
    _cleanup_(device_freep) struct device *unknown = device_child(other, "port", NULL);

    assert_int_equal(device_open(device), 0);
    assert_int_equal(device_open(port), 0);
    assert_int_equal(device_call(port, "on", NULL), -ENODEV);
    assert_non_null(strstr(device_error(port), "no hub 99-1"));
    assert_int_equal(device_open(other), 0);
    assert_int_equal(device_call(unknown, "off", NULL), -ENODEV);
    assert_non_null(strstr(device_error(unknown), "its port is not known"));
}
