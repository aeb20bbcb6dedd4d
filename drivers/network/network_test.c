/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/test.h"
#include "drivers/call_double.h"
#include "drivers/families.h"

/* A bound socket on the loopback; its port in @retport. -1: no such family here. */
static int loopback(int family, int type, unsigned *retport)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = { .any = { .sa_family = (sa_family_t)family } };
    socklen_t length = family == AF_INET ? sizeof(address.v4) : sizeof(address.v6);
    int fd = socket(family, type | SOCK_CLOEXEC, 0);

    if (family == AF_INET)
        address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        address.v6.sin6_addr = in6addr_loopback;
    if (fd < 0 || bind(fd, &address.any, length) < 0) {
        jmp_close(fd);
        return -1;
    }
    assert_int_equal(getsockname(fd, &address.any, &length), 0);
    *retport = ntohs(family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
    return fd;
}

static const char *config(const char *host, unsigned port, const char *more)
{
    static char text[256];

    snprintf(text, sizeof(text), "{\"host\": \"%s\", \"port\": %u%s}", host, port, more);
    return text;
}

static void accept_and_talk(int server, int fd)
{
    _cleanup_close_ int peer = accept(server, NULL, NULL);
    char buffer[8] = "";

    assert_true(peer >= 0);
    fd_write_all(fd, "ping", 4);
    fd_read_all(peer, buffer, 4);
    assert_memory_equal(buffer, "ping", 4);
    fd_write_all(peer, "pong", 4);
    fd_read_all(fd, buffer, 4);
    assert_memory_equal(buffer, "pong", 4);
}

JMP_TEST(tcp_connects_to_names_and_addresses)
{
    static const struct { int family; const char *host; } cases[] = {
        { AF_INET, "127.0.0.1" }, { AF_INET, "localhost" }, { AF_INET6, "::1" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(device_freep) struct device *device = NULL;
        _cleanup_close_ int server = -EBADF, fd = -EBADF, second = -EBADF;
        unsigned port = 0;

        server = loopback(cases[i].family, SOCK_STREAM, &port);
        if (server < 0 && cases[i].family == AF_INET6)
            continue;
        assert_int_equal(listen(server, 4), 0);
        device = device_new(&jmp_network_tcp_class, config(cases[i].host, port, ""));
        assert_int_equal(device_stream(device, "connect", &fd), 0);
        accept_and_talk(server, fd);
        assert_int_equal(device_stream(device, "connect", &second), 0);
        accept_and_talk(server, second);
    }
}

JMP_TEST(tcp_says_why_there_is_no_connection)
{
    _cleanup_(device_freep) struct device *device = NULL;
    _cleanup_close_ int server = -EBADF;
    unsigned port = 0;
    char expected[64];
    int fd = -EBADF;

    server = loopback(AF_INET, SOCK_STREAM, &port);   /* bound, but nobody listens */
    assert_true(server >= 0);
    device = device_new(&jmp_network_tcp_class, config("127.0.0.1", port, ""));
    assert_int_equal(device_stream(device, "connect", &fd), -ECONNREFUSED);
    snprintf(expected, sizeof(expected), "127.0.0.1:%u", port);
    assert_non_null(strstr(device_error(device), expected));
    assert_non_null(strstr(device_error(device), "refused"));
    assert_int_equal(fd, -EBADF);
}

JMP_TEST(tcp_gives_up_in_time_on_a_host_that_is_silent)
{
    _cleanup_(device_freep) struct device *device = NULL;
    _cleanup_close_ int server = -EBADF, first = -EBADF;
    uint64_t begin;
    unsigned port = 0;
    int fd = -EBADF, r;

    /* A listener whose queue is full drops further connections, as a host that is down would. */
    server = loopback(AF_INET, SOCK_STREAM, &port);
    assert_int_equal(listen(server, 0), 0);
    device = device_new(&jmp_network_tcp_class, config("127.0.0.1", port, ", \"connect_timeout\": 0.3"));
    assert_int_equal(device_stream(device, "connect", &first), 0);
    begin = jmp_now();
    r = device_stream(device, "connect", &fd);
    if (r == 0) {   /* some kernels queue one more */
        close(fd);
        begin = jmp_now();
        r = device_stream(device, "connect", &fd);
    }
    assert_int_equal(r, -ETIMEDOUT);
    assert_true(jmp_now() - begin >= 250 * JMP_USEC_PER_MSEC);
    assert_true(jmp_now() - begin < 5 * JMP_USEC_PER_SEC);

    device_cancel(device);
    assert_int_equal(device_stream(device, "connect", &fd), -ECANCELED);
}

JMP_TEST(a_name_that_does_not_exist_is_an_error_with_its_name)
{
    _cleanup_(device_freep) struct device *device =
        device_new(&jmp_network_tcp_class, config("board.invalid", 22, ", \"connect_timeout\": 5"));
    int fd = -EBADF, r;

    r = device_stream(device, "connect", &fd);
    assert_true(r == -EHOSTUNREACH || r == -EAGAIN || r == -ETIMEDOUT);
    assert_non_null(strstr(device_error(device), "board.invalid"));
}

JMP_TEST(a_slow_name_server_does_not_hold_up_a_cancelled_call)
{
    _cleanup_(device_freep) struct device *device = device_new(&jmp_network_tcp_class, config("board.invalid", 22, ""));
    int fd = -EBADF;

    device_cancel(device);
    assert_int_equal(device_stream(device, "connect", &fd), -ECANCELED);
}

JMP_TEST(addresses_are_told_unless_the_config_forbids)
{
    static const struct {
        const struct jmp_driver_class *driver;
        const char *host, *more, *expected;   /* NULL: -EINVAL */
    } cases[] = {
        { &jmp_network_tcp_class, "192.0.2.7", "", "tcp://192.0.2.7:4321" },
        { &jmp_network_udp_class, "192.0.2.7", ", \"enable_address\": true", "udp://192.0.2.7:4321" },
        { &jmp_network_tcp_class, "2001:db8::17", "", "tcp://[2001:db8::17]:4321" },
        { &jmp_network_tcp_class, "192.0.2.7", ", \"enable_address\": false", NULL },
        { &jmp_network_udp_class, "192.0.2.7", ", \"enable_address\": false", NULL },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(device_freep) struct device *device =
            device_new(cases[i].driver, config(cases[i].host, 4321, cases[i].more));
        int r = device_call(device, "address", NULL);

        if (cases[i].expected) {
            assert_int_equal(r, 0);
            assert_string_equal(jmp_node_string(device_result(device)), cases[i].expected);
        } else {
            assert_int_equal(r, -EINVAL);
            assert_non_null(strstr(device_error(device), "enable_address"));
        }
    }
}

JMP_TEST(udp_keeps_the_boundaries_of_datagrams)
{
    _cleanup_(device_freep) struct device *device = NULL;
    _cleanup_close_ int server = -EBADF, fd = -EBADF;
    struct sockaddr_storage from;
    socklen_t length = sizeof(from);
    char buffer[2048];
    unsigned port = 0;

    server = loopback(AF_INET, SOCK_DGRAM, &port);
    device = device_new(&jmp_network_udp_class, config("127.0.0.1", port, ""));
    assert_int_equal(device_stream(device, "connect", &fd), 0);
    assert_int_equal(send(fd, "one", 3, 0), 3);
    assert_int_equal(send(fd, "three", 5, 0), 5);
    assert_int_equal(recvfrom(server, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &length), 3);
    assert_int_equal(recv(server, buffer, sizeof(buffer), 0), 5);
    assert_int_equal(sendto(server, "answer", 6, 0, (struct sockaddr *)&from, length), 6);
    fd_read_all(fd, buffer, 6);
    assert_memory_equal(buffer, "answer", 6);
}

JMP_TEST(unix_connects_and_says_why_not)
{
    _cleanup_(device_freep) struct device *device = NULL;
    char directory[] = "/tmp/jmp-unix-XXXXXX", text[256];
    _cleanup_close_ int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = -EBADF;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    uint64_t begin;
    int further = -EBADF, r;

    assert_non_null(mkdtemp(directory));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", directory);
    snprintf(text, sizeof(text), "{\"path\": \"%s\", \"connect_timeout\": 0.2}", address.sun_path);
    device = device_new(&jmp_network_unix_class, text);
    assert_int_equal(device_stream(device, "connect", &further), -ENOENT);
    assert_non_null(strstr(device_error(device), address.sun_path));

    assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(device_stream(device, "connect", &further), -ECONNREFUSED);
    assert_int_equal(listen(server, 0), 0);
    assert_int_equal(device_stream(device, "connect", &fd), 0);
    /* Its queue is full now, at the latest after one more. */
    begin = jmp_now();
    r = device_stream(device, "connect", &further);
    if (r == 0) {
        close(further);
        r = device_stream(device, "connect", &further);
    }
    assert_int_equal(r, -ETIMEDOUT);
    assert_true(jmp_now() - begin < 5 * JMP_USEC_PER_SEC);
    accept_and_talk(server, fd);

    unlink(address.sun_path);
    rmdir(directory);
}

JMP_TEST(echo_returns_every_byte_and_ends_with_its_client)
{
    enum { SIZE = 1024 * 1024, STEP = 1024 };
    _cleanup_(device_freep) struct device *device = device_new(&jmp_network_echo_class, NULL);
    _cleanup_close_ int fd = -EBADF, second = -EBADF;
    char out[STEP], in[STEP];

    assert_int_equal(device_stream(device, "connect", &fd), 0);
    assert_int_equal(device_stream(device, "connect", &second), 0);
    for (int i = 0; i < SIZE / STEP; i++) {
        memset(out, i, sizeof(out));
        fd_write_all(fd, out, sizeof(out));
        fd_read_all(fd, in, sizeof(in));
        assert_memory_equal(in, out, sizeof(in));
    }
    assert_true(fd_is_silent(second, 0));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    fd_expect_end(fd);
    /* The second is still there when the device goes: it must end too. */
}

JMP_TEST(a_connection_survives_any_failed_allocation)
{
    static const char *const hosts[] = { "127.0.0.1", "localhost" };

    for (size_t i = 0; i < ELEMENTSOF(hosts); i++) {
        _cleanup_(device_freep) struct device *device = NULL;
        _cleanup_close_ int server = -EBADF;
        unsigned port = 0, failed = 0;

        server = loopback(AF_INET, SOCK_STREAM, &port);
        assert_int_equal(listen(server, 16), 0);
        device = device_new(&jmp_network_tcp_class, config(hosts[i], port, ""));
        for (unsigned n = 1; jmp_fault_arm(JMP_FAULT_ALLOC, n); n++) {
            int fd = -EBADF, r = device_stream(device, "connect", &fd);

            jmp_fault_disarm();
            assert_true(r == 0 ? fd >= 0 : r == -ENOMEM && fd == -EBADF);
            failed += r < 0;
            jmp_close(fd);
            if (r == 0)
                break;
        }
        assert_true(failed > 0);
    }
}

JMP_TEST(network_options_are_checked)
{
    static const struct { const struct jmp_driver_class *driver; const char *config, *word; } cases[] = {
        { &jmp_network_tcp_class, "{\"host\": \"a\"}", "port" },
        { &jmp_network_tcp_class, "{\"port\": 1}", "host" },
        { &jmp_network_tcp_class, "{\"host\": \"a\", \"port\": 0}", "port" },
        { &jmp_network_tcp_class, "{\"host\": \"a\", \"port\": 65536}", "port" },
        { &jmp_network_udp_class, "{\"host\": \"a\", \"port\": \"ssh\"}", "port" },
        { &jmp_network_tcp_class, "{\"host\": \"a\", \"port\": 1, \"hots\": 2}", "hots" },
        { &jmp_network_unix_class, "{}", "path" },
        { &jmp_network_unix_class, "{\"path\": \"\"}", "empty" },
        { &jmp_network_unix_class, "{\"path\": \"/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789"
                                   "/0123456789/0123456789/0123456789/0123456789\"}", "107 bytes" },
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const char *problem = device_problem(cases[i].driver, cases[i].config);

        assert_non_null(problem);
        if (!strstr(problem, cases[i].word))
            fail_msg("\"%s\" does not contain \"%s\"", problem, cases[i].word);
    }
}
