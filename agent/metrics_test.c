/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metrics.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "agent/metrics_server.h"
#include "base/test.h"

static char *page(void)
{
    const struct jmp_metrics_now now = { .tunnels = 2, .leased = true, .leases = 7, .devices = 3, .missing = 1 };
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    jmp_metrics_print(out, &now);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void expect(const char *text, const char *line)
{
    const char *at = strstr(text, line);

    if (!at || (at > text && at[-1] != '\n') || at[strlen(line)] != '\n')
        fail_msg("no line \"%s\" in\n%s", line, text);
}

JMP_TEST(operations_are_counted_with_their_errors_and_their_time)
{
    _cleanup_free_ char *text = NULL;

    jmp_metrics_operation("power", "on", NULL, 500);
    jmp_metrics_operation("power", "on", NULL, 50 * JMP_USEC_PER_MSEC);
    jmp_metrics_operation("power", "on", "timeout", 100 * JMP_USEC_PER_SEC);
    jmp_metrics_bytes("serial", 10, 20);
    jmp_metrics_bytes("serial", 1, 2);
    text = page();
    expect(text, "jumpstarter_operations_total{driver_type=\"power\",operation=\"on\"} 3");
    expect(text, "jumpstarter_operation_errors_total{driver_type=\"power\",operation=\"on\",error_type=\"timeout\"} 1");
    expect(text,
           "jumpstarter_operation_duration_seconds_bucket{driver_type=\"power\",operation=\"on\",le=\"0.001\"} 1");
    expect(text, "jumpstarter_operation_duration_seconds_bucket{driver_type=\"power\",operation=\"on\",le=\"0.1\"} 2");
    expect(text, "jumpstarter_operation_duration_seconds_bucket{driver_type=\"power\",operation=\"on\",le=\"60\"} 2");
    expect(text, "jumpstarter_operation_duration_seconds_bucket{driver_type=\"power\",operation=\"on\",le=\"+Inf\"} 3");
    expect(text, "jumpstarter_operation_duration_seconds_count{driver_type=\"power\",operation=\"on\"} 3");
    expect(text, "jumpstarter_stream_bytes_total{driver_type=\"serial\",direction=\"from_client\"} 11");
    expect(text, "jumpstarter_stream_bytes_total{driver_type=\"serial\",direction=\"to_client\"} 22");
    expect(text, "jumpstarter_active_sessions 2");
    expect(text, "jumpstarter_leases_total 7");
    expect(text, "jumpstarter_devices_missing 1");
    assert_non_null(strstr(text, "process_resident_memory_bytes "));
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
}

JMP_TEST(invented_names_do_not_take_memory_without_end)
{
    char name[300];
    char *text;
    size_t length;

    for (unsigned i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "method-%u-\"\\\n", i);
        jmp_metrics_operation(name, name, name, 1);
        jmp_metrics_bytes(name, 1, 1);
    }
    text = page();
    length = strlen(text);
    free(text);
    for (unsigned i = 2000; i < 4000; i++) {
        snprintf(name, sizeof(name), "method-%u", i);
        jmp_metrics_operation(name, name, name, 1);
    }
    text = page();
    assert_true(strlen(text) < length + 100);   /* only the digits of "other" */
    assert_non_null(strstr(text, "operation=\"other\"} "));
    free(text);
}

static void print(FILE *out, void *user) { fputs("the page\n", out); }

static void too_late(struct jmp_timer *timer) { fail_msg("no answer"); }

struct visit {
    struct jmp_loop *loop;
    struct jmp_io io;
    int fd;
    char text[1024];
    size_t length;
};

static void on_answer(struct jmp_io *io, uint32_t revents)
{
    struct visit *visit = CONTAINER_OF(io, struct visit, io);
    ssize_t n = recv(visit->fd, visit->text + visit->length, sizeof(visit->text) - 1 - visit->length, MSG_DONTWAIT);

    if (n > 0)
        visit->length += (size_t)n;
    else
        jmp_loop_exit(visit->loop, 0);
}

static void ask_at(struct jmp_loop *loop, const struct sockaddr *address, socklen_t size, const char *request,
                   const char *expected)
{
    struct visit visit = { .loop = loop, .fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0) };

    assert_int_equal(connect(visit.fd, address, size), 0);
    assert_int_equal(send(visit.fd, request, strlen(request), 0), strlen(request));
    assert_int_equal(jmp_io_start(loop, &visit.io, visit.fd, EPOLLIN, on_answer), 0);
    jmp_loop_resume(loop);
    jmp_loop_run(loop);
    jmp_io_close(&visit.io);
    jmp_close(visit.fd);
    if (strncmp(visit.text, expected, strlen(expected)) != 0)
        fail_msg("\"%s\" was answered \"%s\"", request, visit.text);
}

static void ask(struct jmp_loop *loop, unsigned port, const char *request, const char *expected)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    ask_at(loop, (struct sockaddr *)&address, sizeof(address), request, expected);
}

JMP_TEST(the_page_is_served_and_nothing_else)
{
    struct jmp_timer deadline = { 0 };
    struct jmp_metrics_server *server;
    char endless[5000];
    struct jmp_loop *loop;
    unsigned port;

    assert_int_equal(jmp_loop_new(&loop), 0);
    assert_int_equal(jmp_timer_start(loop, &deadline, 20 * JMP_USEC_PER_SEC, too_late), 0);
    assert_int_equal(jmp_metrics_server_new(loop, "127.0.0.1:0", print, NULL, &server, &port, NULL), 0);
    ask(loop, port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
        "Content-Length: 9\r\nConnection: close\r\n\r\nthe page\n");
    ask(loop, port, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 ");
    ask(loop, port, "POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 ");
    ask(loop, port, "nonsense\r\n\r\n", "HTTP/1.1 405 ");
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    ask(loop, port, endless, "");
    server = jmp_metrics_server_free(server);
    jmp_timer_close(&deadline);
    jmp_loop_free(loop);
}

JMP_TEST(only_this_machine_may_ask)
{
    static const char *const addresses[] = { "0.0.0.0:9000", "192.168.0.1:9000", "[::]:9000", "host:9000", "", ":9000",
                                             "127.0.0.1:99999", "127.0.0.1:x", "unix:relative" };
    struct jmp_metrics_server *server;
    struct jmp_loop *loop;

    assert_int_equal(jmp_loop_new(&loop), 0);
    for (size_t i = 0; i < ELEMENTSOF(addresses); i++)
        assert_int_equal(jmp_metrics_server_new(loop, addresses[i], print, NULL, &server, NULL, NULL), -EINVAL);
    jmp_loop_free(loop);
}

JMP_TEST(a_socket_in_the_file_system_takes_the_place_of_a_dead_one_and_of_nothing_else)
{
    char directory[] = "/tmp/jmp-metrics-XXXXXX", place[128];
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct jmp_timer deadline = { 0 };
    struct jmp_metrics_server *server;
    struct jmp_loop *loop;
    struct stat st;
    int fd;

    assert_non_null(mkdtemp(directory));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", directory);
    snprintf(place, sizeof(place), "unix:%s", address.sun_path);
    assert_int_equal(jmp_loop_new(&loop), 0);
    assert_int_equal(jmp_timer_start(loop, &deadline, 20 * JMP_USEC_PER_SEC, too_late), 0);

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    jmp_close(fd);
    assert_int_equal(jmp_metrics_server_new(loop, place, print, NULL, &server, NULL, NULL), 0);
    ask_at(loop, (struct sockaddr *)&address, sizeof(address), "GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 ");
    server = jmp_metrics_server_free(server);
    assert_int_equal(lstat(address.sun_path, &st), -1);

    fd = open(address.sun_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    jmp_close(fd);
    assert_int_equal(jmp_metrics_server_new(loop, place, print, NULL, &server, NULL, NULL), -EEXIST);
    assert_int_equal(unlink(address.sun_path), 0);
    assert_int_equal(rmdir(directory), 0);
    jmp_timer_close(&deadline);
    jmp_loop_free(loop);
}
