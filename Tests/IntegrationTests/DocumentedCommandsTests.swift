import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

/// Every command in README.md and Docs is run as it stands.
///
/// The commands of a page are run in their order, in one shell and one directory. A block that cannot be run here says
/// so behind its "sh"; a command that is to fail is listed here. Anything new is run, and has to succeed.
@Suite("Commands in the documentation", .serialized, .busy, .slow)
struct DocumentedCommandsTests {
    /// What a block of commands may need that a test does not have.
    private enum Need: String, CaseIterable {
        /// To be root, or a kernel with modules.
        case root = "needs-root"
        /// Servers, disks or directories of the example's own.
        case setting = "needs-a-setting"
        /// Installs, builds and tests everything.
        case hour = "takes-long"
    }

    /// Commands that show a failure, without their comments.
    private static let failing: Set<String> = [
        "qemu-io -t writeback -f raw -c 'write 0 128k' 'nbd+unix:///?socket=a.sock'",
        "cmp -n 4M data back     # they differ: zeros",
        // No job is left by then.
        "nbdext cancel a                  # end a check, a repair or a replacement",
    ]
    /// Those whose exit status says something else than success or failure.
    private static let judging = ["nbdext explain", "nbdext ioreg", "nbdext check-driver"]

    private struct Block {
        var line: Int
        var words: [String]
        var lines: [String]
    }

    static let pages: [String] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: checkout.path + "/Docs")) ?? []
        return ["README.md"] + names.filter { $0.hasSuffix(".md") }.sorted().map { "Docs/" + $0 }
    }()

    private func blocks(of page: String) throws -> [Block] {
        var blocks: [Block] = []
        var current: Block?
        let text = try String(contentsOf: checkout.appendingPathComponent(page), encoding: .utf8)
        for (index, line) in text.components(separatedBy: "\n").enumerated() {
            if line.hasPrefix("```") {
                if let block = current {
                    blocks.append(block)
                    current = nil
                } else {
                    let words = line.dropFirst(3).split(separator: " ").map(String.init)
                    current = Block(line: index + 1, words: words, lines: [])
                }
            } else {
                current?.lines.append(line)
            }
        }
        return blocks
    }

    @Test("each works, or fails as the page says", arguments: pages)
    func commands(page: String) throws {
        guard Shell.has("qemu-io", "nbdcopy", "fio", "bash") else { return }
        let directory = TemporaryDirectory()
        try prepare(directory.path, page)
        var script = Self.prologue
        var count = 0
        for block in try blocks(of: page) {
            if block.words.first == "json" {
                try block.lines.joined(separator: "\n").write(
                    toFile: directory.path + "/mine.json", atomically: true, encoding: .utf8)
            }
            guard block.words.first == "sh" else { continue }
            for word in block.words.dropFirst() {
                #expect(Need(rawValue: word) != nil, "\(page):\(block.line): what does \"\(word)\" mean?")
            }
            if block.words.count > 1 { continue }
            for (line, command) in logicalLines(block) {
                let isJudging = Self.judging.contains { command.hasPrefix($0) }
                let expected = isJudging ? "any" : Self.failing.contains(command) ? "failure" : "success"
                script += "run \(block.line + line) \(expected) <<'COMMAND_ENDS'\n\(command)\nCOMMAND_ENDS\n"
                count += 1
            }
        }
        guard count > 0 else { return }
        let path = directory.path + "/commands.sh"
        try script.write(toFile: path, atomically: true, encoding: .utf8)
        let result = try Shell.run("bash", [path, directory.path])
        #expect(result.status == 0, "\(page): \(result.output)\(result.errors)")
        #expect(result.output.components(separatedBy: "\nran ").count - 1 == count, "\(result.output)\(result.errors)")
    }

    /// A command may go on behind a backslash.
    private func logicalLines(_ block: Block) -> [(line: Int, command: String)] {
        var result: [(Int, String)] = []
        var pending: (Int, String)?
        for (index, line) in block.lines.enumerated() {
            let text = pending.map { $0.1 + "\n" + line } ?? line
            let start = pending?.0 ?? index + 1
            pending = nil
            if line.hasSuffix("\\") {
                pending = (start, text)
            } else if !line.trimmingCharacters(in: .whitespaces).isEmpty && !line.hasPrefix("#") {
                result.append((start, text))
            }
        }
        return result
    }

    /// What a reader has at that point: the programs on the path, those of the build, an array, some data.
    private func prepare(_ directory: String, _ page: String) throws {
        let files = FileManager.default
        let built = URL(fileURLWithPath: nbdext).deletingLastPathComponent().path
        try files.createDirectory(atPath: directory + "/.build", withIntermediateDirectories: true)
        try files.createSymbolicLink(atPath: directory + "/.build/release", withDestinationPath: built)
        let text = try String(contentsOf: checkout.appendingPathComponent(page), encoding: .utf8)
        try files.createDirectory(atPath: directory + "/Examples", withIntermediateDirectories: true)
        try files.createSymbolicLink(
            atPath: directory + "/Examples/MyFirstDextCPP",
            withDestinationPath: checkout.path + "/Examples/MyFirstDextCPP")
        guard text.contains("Examples/MyFirstDext/.build/debug") else { return }
        let example = URL(fileURLWithPath: try ExampleDriver.built.get()).deletingLastPathComponent().path
        try files.createDirectory(
            atPath: directory + "/Examples/MyFirstDext/.build", withIntermediateDirectories: true)
        try files.createSymbolicLink(
            atPath: directory + "/Examples/MyFirstDext/.build/debug", withDestinationPath: example)
    }

    /// A shell in which `nbdext serve` goes on in the background, as in another terminal, and clients wait until it
    /// serves.
    private static let prologue = """
        cd "$1"
        built=$(readlink -f .build/release)
        PATH=$built:$PATH:/usr/sbin:/sbin
        program=$built/nbdext
        server=
        failed=0
        stop_server() {
            [ -n "$server" ] && kill -INT "$server" 2>/dev/null && wait "$server" 2>/dev/null
            server=
        }
        await() {
            for attempt in $(seq 6000); do
                grep -q 'ready:' server.out 2>/dev/null && return 0
                sleep 0.1
            done
            echo "the server is not ready"; cat server.out; return 1
        }
        nbdext() {
            if [ "$1" != serve ]; then
                [ -n "$server" ] && await
                command "$program" "$@"
                return
            fi
            exec "$program" "$@" > server.out 2>&1
        }
        qemu-io() { await && command qemu-io "$@" && return; return 1; }
        nbdcopy() { await && command nbdcopy "$@"; }
        fio() { await && command fio "$@"; }
        # The example has been built.
        swift() { true; }
        run() {
            command=$(cat)
            case $command in
            *'nbdext serve'*)
                stop_server; rm -f server.out
                # In the background, whether the page says so or not.
                text=${command%%#*}; text=${text%"${text##*[! ]}"}; text=${text%&}
                ( eval "$text" ) &
                server=$!; await; status=$?;;
            'nbdext top'*)
                text=${command%%#*}
                timeout -s INT 2 "$program" ${text#nbdext } > command.out 2>&1; status=$?
                [ $status = 124 ] && status=0;;
            'kill -USR1 %1'*) kill -USR1 "$server"; status=$?;;
            *) eval "$command" > command.out 2>&1; status=$?;;
            esac
            case $2 in
            success) [ $status = 0 ] ;;
            failure) [ $status != 0 ] ;;
            *) [ $status -lt 100 ] ;;
            esac || { failed=1; echo "line $1: $command: status $status"; cat command.out; }
            echo; echo "ran $1"
        }
        trap 'stop_server; exit $failed' EXIT

        """
}
