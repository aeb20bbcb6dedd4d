/* SPDX-License-Identifier: Apache-2.0 */
/* The program itself, as a process: TLS, the administrator's commands beside it, and its end by force. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/text.h"
#include "jumpstarter/client/v1/client.pb-c.h"
#include "jumpstarter/v1/jumpstarter.pb-c.h"
#include "labd/bench_test.h"

struct program {
    struct bench *bench;             /* its loop and its disk; the lab inside stays idle */
    char directory[64], notify[96];
    int notify_fd;
    pid_t pid;
    struct jmp_channel *channel;
};

static const char *labd_path(void)
{
    static char path[512];
    const char *build = getenv("JMP_BUILD_DIR");

    if (!build)
        skip();
    snprintf(path, sizeof(path), "%s/labd/jmp-labd", build);
    return path;
}

static pid_t spawn(char *const argv[], const char *notify)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);

        dup2(null, STDOUT_FILENO);
        if (notify) {
            dup2(null, STDERR_FILENO);
            setenv("NOTIFY_SOCKET", notify, 1);
        }
        execv(argv[0], argv);
        _exit(127);
    }
    return pid;
}

static int administer(const struct program *program, const char *verb, const char *kind, const char *name,
                      const char *option, const char *value)
{
    char data[96], *argv[8] = { (char *)labd_path(), (char *)verb, (char *)kind, data };
    unsigned count = 4;
    int status;

    snprintf(data, sizeof(data), "--data-dir=%s", program->directory);
    if (option)
        argv[count++] = (char *)option;
    if (value)
        argv[count++] = (char *)value;
    if (name)
        argv[count++] = (char *)name;
    assert_int_equal(waitpid(spawn(argv, NULL), &status, 0) > 0, 1);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Starts it and waits until it says that it is ready, and where. */
static void start(struct program *program)
{
    char data[96], message[512] = "", path[96],
                   *argv[] = { (char *)labd_path(), (char *)"serve", data, (char *)"--listen=127.0.0.1:0", NULL };
    struct jmp_channel_options options = { 0 };
    struct pollfd pollfd = { .fd = program->notify_fd, .events = POLLIN };
    struct jmp_error error = JMP_ERROR_INIT;
    char ca[8192], endpoint[64];
    const char *at;
    ssize_t length;
    int fd;

    snprintf(data, sizeof(data), "--data-dir=%s", program->directory);
    program->pid = spawn(argv, program->notify);
    do {
        assert_int_equal(poll(&pollfd, 1, 20000), 1);
        length = recv(program->notify_fd, message, sizeof(message) - 1, 0);
        assert_true(length > 0);
        message[length] = '\0';
    } while (!strstr(message, "READY=1"));

    /* The status has what was asked for, port 0; the address it took stands in the lab. */
    {
        _cleanup_(jmp_store_freep) struct jmp_store *store = NULL;
        _cleanup_free_ char *text = NULL;

        snprintf(path, sizeof(path), "%s/lab.db", program->directory);
        assert_int_equal(jmp_store_open(path, false, &store, &error), 0);
        assert_int_equal(jmp_store_get_meta(store, "endpoint", &text), 0);
        snprintf(endpoint, sizeof(endpoint), "%s", text);
    }
    at = strstr(message, "Listening on ");
    assert_non_null(at);
    assert_int_equal(strncmp(at + strlen("Listening on "), endpoint, strlen(endpoint)), 0);

    snprintf(path, sizeof(path), "%s/ca.pem", program->directory);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    length = read(fd, ca, sizeof(ca) - 1);
    assert_true(length > 0);
    ca[length] = '\0';
    close(fd);
    options.endpoint = endpoint;
    options.ca = ca;
    assert_int_equal(jmp_channel_new(program->bench->queue, &options, &program->channel, &error), 0);
}

static int stop(struct program *program, int with)
{
    int status;

    assert_int_equal(kill(program->pid, with), 0);
    assert_int_equal(waitpid(program->pid, &status, 0), program->pid);
    program->pid = 0;
    program->channel = jmp_channel_free(program->channel);
    return status;
}

static void program_open(struct program *program)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    *program = (struct program){ .bench = bench_new() };
    snprintf(program->directory, sizeof(program->directory), "/tmp/labd-serve-XXXXXX");
    assert_non_null(mkdtemp(program->directory));
    snprintf(program->notify, sizeof(program->notify), "%s/notify", program->directory);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", program->notify);
    program->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(program->notify_fd >= 0);
    assert_int_equal(bind(program->notify_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    start(program);
}

static void program_close(struct program *program)
{
    int status = stop(program, SIGTERM);

    close(program->notify_fd);
    bench_remove(program->directory);
    bench_free(program->bench);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* The token that a command wrote. */
static void load(struct program *program, bool is_client, const char *name, const char *path, struct caller *ret)
{
    char text[16384], *line, *token;
    ssize_t length;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    length = read(fd, text, sizeof(text) - 1);
    close(fd);
    assert_true(length > 0);
    text[length] = '\0';
    line = strstr(text, "\ntoken: ");
    assert_non_null(line);
    token = line + strlen("\ntoken: ");
    token += *token == '"' || *token == '\'';
    token[strcspn(token, "\"'\n")] = '\0';

    *ret = (struct caller){ 0 };
    snprintf(ret->name, sizeof(ret->name), "%s", name);
    snprintf(ret->bearer, sizeof(ret->bearer), "Bearer %s", token);
    ret->headers[0] = (struct jmp_metadata){ "authorization", ret->bearer };
    ret->headers[1] = (struct jmp_metadata){ "jumpstarter-kind", is_client ? "Client" : "Exporter" };
    ret->headers[2] = (struct jmp_metadata){ "jumpstarter-namespace", "default" };
    ret->headers[3] = (struct jmp_metadata){ "jumpstarter-name", ret->name };
}

static void make(struct program *program, bool is_client, const char *name, const char *label, struct caller *ret)
{
    char path[128], option[160];

    snprintf(path, sizeof(path), "%s/%s.yaml", program->directory, name);
    snprintf(option, sizeof(option), "--output=%s", path);
    assert_int_equal(administer(program, "create", is_client ? "client" : "exporter", name, option, label), 0);
    load(program, is_client, name, path, ret);
}

/* What bench_*() call goes to the program from now on. */
static void redirect(struct program *program)
{
    struct jmp_channel *channel = program->bench->channel;

    program->bench->channel = program->channel;
    program->channel = channel;
}

static void exporter_up(struct bench *bench, const struct caller *board, struct call *status)
{
    Jumpstarter__V1__RegisterRequest request = JUMPSTARTER__V1__REGISTER_REQUEST__INIT;
    Jumpstarter__V1__StatusRequest open = JUMPSTARTER__V1__STATUS_REQUEST__INIT;

    bench_ask(bench, board, &jmp_controller_register, &request.base);
    bench_start(bench, board, &jmp_controller_status, &open.base, status);
    bench_wait_count(status, 1);
    bench_report(bench, board, JMP_STATUS_AVAILABLE);
}

JMP_TEST(commands_are_seen_by_the_running_service)
{
    struct program program;
    struct caller alice, board, gone;
    struct call status;
    Jumpstarter__V1__ListLeasesRequest own = JUMPSTARTER__V1__LIST_LEASES_REQUEST__INIT;

    program_open(&program);
    redirect(&program);
    make(&program, true, "alice", NULL, &alice);
    make(&program, true, "gone", NULL, &gone);
    make(&program, false, "board", "--label=x=1", &board);
    assert_int_equal(administer(&program, "create", "client", "alice", NULL, NULL), 1);
    exporter_up(program.bench, &board, &status);
    bench_ask(program.bench, &gone, &jmp_controller_list_leases, &own.base);
    assert_int_equal(administer(&program, "delete", "client", "gone", NULL, NULL), 0);
    bench_refused(program.bench, &gone, &jmp_controller_list_leases, &own.base, JMP_UNKNOWN, NULL);

    /* An end by hand reaches the exporter without any call to the service. */
    for (unsigned i = 0; i < 5; i++) {
        char name[16];

        snprintf(name, sizeof(name), "lease-%u", i);
        assert_string_equal(bench_state(bench_lease(program.bench, &alice, name, "x=1", 600)), "Ready Ready");
        bench_wait_count(&status, 2 + 2 * i);
        assert_int_equal(administer(&program, "delete", "lease", name, NULL, NULL), 0);
        bench_wait_count(&status, 3 + 2 * i);
        assert_string_equal(bench_state(bench_get_lease(program.bench, &alice, name)), "!Ready Released");
    }

    assert_int_equal(administer(&program, "update", "exporter", "board", "--disable", NULL), 0);
    assert_string_equal(bench_state(bench_lease(program.bench, &alice, "no", "x=1", 600)), "Unsatisfiable AllDisabled");
    assert_int_equal(administer(&program, "update", "exporter", "board", "--enable", NULL), 0);
    assert_string_equal(bench_state(bench_lease(program.bench, &alice, "yes", "x=1", 600)), "Ready Ready");
    assert_int_equal(administer(&program, "delete", "exporter", "board", NULL, NULL), 1);
    assert_int_equal(administer(&program, "list", "leases", NULL, NULL, NULL), 0);
    assert_int_equal(administer(&program, "delete", "exporter", "board", "--force", NULL), 0);
    bench_wait(&status);
    assert_int_equal(status.code, JMP_UNKNOWN);
    assert_string_equal(bench_state(bench_get_lease(program.bench, &alice, "yes")), "!Ready Released");
    redirect(&program);
    program_close(&program);
}

JMP_TEST(a_killed_service_loses_nothing)
{
    struct program program;
    struct caller alice, board;
    struct call status;

    program_open(&program);
    redirect(&program);
    make(&program, true, "alice", NULL, &alice);
    make(&program, false, "board", "--label=x=1", &board);
    exporter_up(program.bench, &board, &status);
    bench_lease(program.bench, &alice, "one", "x=1", 600);
    bench_lease(program.bench, &alice, "two", "x=1", 600);
    redirect(&program);
    assert_true(WIFSIGNALED(stop(&program, SIGKILL)));
    bench_wait(&status);
    assert_int_not_equal(status.code, JMP_OK);

    start(&program);
    redirect(&program);
    assert_string_equal(bench_state(bench_get_lease(program.bench, &alice, "one")), "Ready Ready");
    exporter_up(program.bench, &board, &status);
    assert_string_equal(((const Jumpstarter__V1__StatusResponse *)status.message)->lease_name, "one");
    assert_string_equal(bench_state(bench_get_lease(program.bench, &alice, "two")), "Pending NotAvailable");
    redirect(&program);
    program_close(&program);
}

JMP_TEST(a_lab_is_served_once)
{
    struct program program;
    char data[96], *argv[] = { (char *)labd_path(), (char *)"serve", data, (char *)"--listen=127.0.0.1:0", NULL };
    int status;
    pid_t second;

    program_open(&program);
    snprintf(data, sizeof(data), "--data-dir=%s", program.directory);
    second = spawn(argv, "/dev/null");
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    program_close(&program);
}
