/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/vhci.h"

#include <string.h>
#include <sys/stat.h>

#include "base/test.h"

#define SYSFS "/sys/devices/platform/vhci_hcd.0"

/* A machine in a directory: what is written to a file of it is found there afterwards. */
static char root[64];

static void put(const char *path, const char *text)
{
    _cleanup_fclose_ FILE *file = NULL;
    char full[512];

    snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(full, 0755) < 0)
            assert_int_equal(errno, EEXIST);
        *slash = '/';
    }
    file = fopen(full, "we");
    assert_non_null(file);
    fputs(text, file);
}

static void expect(const char *path, const char *text)
{
    _cleanup_fclose_ FILE *file = NULL;
    char full[512], found[256] = "";

    snprintf(full, sizeof(full), "%s%s", root, path);
    file = fopen(full, "re");
    assert_non_null(file);
    assert_true(fread(found, 1, sizeof(found) - 1, file) > 0);
    assert_string_equal(found, text);
}

static void machine(const char *status)
{
    snprintf(root, sizeof(root), "/tmp/jmp-vhci-XXXXXX");
    assert_non_null(mkdtemp(root));
    put("/run/empty", "");
    if (!status)
        return;
    put(SYSFS "/status", status);
    put(SYSFS "/attach", "");
    put(SYSFS "/detach", "");
}

static void machine_remove(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

static const char two_free[] = "hub port sta spd dev      sockfd local_busid\n"
                               "hs  0000 006 002 00010002 000003 4-1\n"
                               "hs  0001 004 000 00000000 000000 0-0\n"
                               "ss  0008 004 000 00000000 000000 0-0\n";

JMP_TEST(ports_are_read_with_what_is_in_them)
{
    struct jmp_vhci_port ports[JMP_VHCI_PORTS_MAX];
    size_t count = 0;

    machine(two_free);
    put(SYSFS "/status.1", "hub port sta spd dev      sockfd local_busid\nhs  0016 007 000 00000000 000000 0-0\n");
    put("/run/vhci_hcd/port0", "board.probe 0 1-1.2\n");
    assert_int_equal(jmp_vhci_ports(root, ports, &count, NULL), 0);
    assert_int_equal(count, 4);
    assert_true(ports[0].used);
    assert_int_equal(ports[0].device, 0x10002);
    assert_string_equal(ports[0].busid, "4-1");
    assert_string_equal(ports[0].from, "board.probe");
    assert_string_equal(ports[0].remote, "1-1.2");
    assert_false(ports[1].used);
    assert_false(ports[1].super);
    assert_string_equal(ports[1].busid, "");
    assert_true(ports[2].super);
    assert_int_equal(ports[2].number, 8);
    assert_int_equal(ports[3].number, 16);
    assert_true(ports[3].used); /* in error: not to be had */
    machine_remove();
}

JMP_TEST(a_device_goes_into_a_port_of_its_speed)
{
    static const struct {
        uint32_t speed;
        unsigned port;
        const char *line;
    } rows[] = {
        { 1, 1, "1 77 65539 1" },
        { 3, 1, "1 77 65539 3" },
        { 5, 8, "8 77 65539 5" },
        { 6, 8, "8 77 65539 6" },
    };

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        char record[64];
        unsigned port = 99;

        machine(two_free);
        assert_int_equal(jmp_vhci_attach(root, 77, 0x10003, rows[i].speed, "probe", "1-3", &port, NULL), 0);
        assert_int_equal(port, rows[i].port);
        expect(SYSFS "/attach", rows[i].line);
        snprintf(record, sizeof(record), "/run/vhci_hcd/port%u", port);
        expect(record, "probe 0 1-3\n");
        assert_true(jmp_vhci_is_recorded(root, port));

        assert_int_equal(jmp_vhci_detach(root, port, NULL), 0);
        assert_false(jmp_vhci_is_recorded(root, port));
        machine_remove();
    }
}

JMP_TEST(what_cannot_work_is_explained)
{
    static const char full[] = "hub port sta spd dev      sockfd local_busid\nhs  0000 006 002 00010002 000003 4-1\n";
    struct jmp_vhci_port ports[JMP_VHCI_PORTS_MAX];
    struct jmp_error error = JMP_ERROR_INIT;
    unsigned port = 99;
    size_t count;

    machine(NULL);
    assert_int_equal(jmp_vhci_check(root, &error), -ENODEV);
    assert_non_null(strstr(error.hint, "modprobe vhci-hcd"));
    assert_int_equal(jmp_vhci_ports(root, ports, &count, NULL), -ENODEV);
    assert_int_equal(jmp_vhci_detach(root, 0, NULL), -ENODEV);
    machine_remove();

    machine(full);
    assert_int_equal(jmp_vhci_attach(root, 77, 1, 3, "probe", "1-3", &port, &error), -EBUSY);
    assert_non_null(strstr(error.text, "no virtual port"));
    machine_remove();

    machine("hub port sta\nnonsense\n");
    assert_int_equal(jmp_vhci_ports(root, ports, &count, &error), -EPROTO);
    machine_remove();
}
