import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

/// `nbdext dext build`, and what runs its product, with the real programs.
@Suite("DEXTs in C++", .serialized, .needsCore, .slow)
struct DextTests {
    private static let example = "\(checkout.path)/Examples/MyFirstDextCPP"

    static let bundle = Result { try builtBundle(example) }

    /// A copy of the example's directory, to be changed.
    private func copy(in directory: TemporaryDirectory) throws -> String {
        let path = "\(directory.path)/Disk"
        try FileManager.default.copyItem(atPath: Self.example, toPath: path)
        return path
    }

    private func change(_ file: String, _ old: String, _ new: String) throws {
        let text = TextFile.read(file)
        #expect(text.contains(old), "\(file) has changed")
        try TextFile.write(text.replacing(old, with: new), to: file)
    }

    private func build(_ directory: String, in scratch: TemporaryDirectory, _ arguments: String...) throws
        -> Shell.Result
    {
        try Shell.run(nbdext, ["dext", "build", directory, "-o", "\(scratch.path)/Disk.dext"] + arguments)
    }

    @Test("the example passes check-driver, as its twin in Swift does")
    func checked() throws {
        let result = try Shell.run(nbdext, ["check-driver", Self.bundle.get()])
        #expect(result.status == 0, "\(result.output + result.errors)")
        #expect(result.output.contains("B29"), "it declines bundled mode")
        #expect(!result.output.contains("failed"), "\(result.output)")
        #expect(!result.output.contains("user client"), "it has none: \(result.output)")
    }

    @Test("the example is served, and keeps what is written")
    func served() throws {
        let directory = TemporaryDirectory()
        let socket = "\(directory.path)/socket"
        let server = try Program(nbdext, ["serve", "--dext", Self.bundle.get(), "--socket", socket])
        defer { #expect(server.stop() == 0, "\(server.said)") }
        try server.waitFor("ready: ")
        let uri = "nbd+unix:///target-0?socket=\(socket)"
        // The second half is zeros, which the copy sends without data.
        let data = Data((0..<1 << 20).map { $0 < 1 << 19 ? UInt8(truncatingIfNeeded: ($0 &* 7) >> 3) : 0 })
        try data.write(to: URL(fileURLWithPath: "\(directory.path)/in"))
        for (from, to) in [("\(directory.path)/in", uri), (uri, "\(directory.path)/out")] {
            let copied = try Shell.run("nbdcopy", [from, to])
            #expect(copied.status == 0, "\(copied.errors)")
        }
        let back = try Data(contentsOf: URL(fileURLWithPath: "\(directory.path)/out"))
        #expect(back.prefix(data.count) == data)
    }

    @Test("are compiled again only where something has changed")
    func incremental() throws {
        let scratch = TemporaryDirectory()
        let directory = try copy(in: scratch)
        #expect(try build(directory, in: scratch).output.contains("MyFirstDext.cpp"))
        #expect(try !build(directory, in: scratch).output.contains("MyFirstDext.cpp"))
        try change("\(directory)/MyFirstDext.cpp", "#include", "// changed\n#include")
        let third = try build(directory, in: scratch)
        #expect(third.output.contains("[1/1] MyFirstDext.cpp"), "\(third.output)")
    }

    @Test("share the kit's objects, in the directory for caches if that can be written")
    func sharedKit() throws {
        let scratch = TemporaryDirectory()
        func build(_ name: String, caches: String, _ arguments: String...) throws -> String {
            let output = "\(scratch.path)/\(name).dext"
            let program = try Program(
                nbdext, ["dext", "build", Self.example, "-o", output] + arguments,
                environment: ["XDG_CACHE_HOME": caches])
            #expect(program.wait() == 0, "\(program.said)")
            return program.output
        }
        let caches = "\(scratch.path)/caches"
        #expect(try build("A", caches: caches).contains("kit-runtime"))
        #expect(try !build("B", caches: caches, "--define", "MARK").contains("kit-"))
        #expect(try build("B", caches: caches, "--sanitize", "address").contains("kit-runtime"))
        #expect(try !build("A", caches: caches).contains("["))
        // Nobody may make a directory there.
        #expect(try build("C", caches: "/proc").contains("kit-runtime"))
        #expect(try !build("C", caches: "/proc").contains("["))
    }

    @Test(
        "with a mistake are refused, in the developer's own file and line",
        arguments: [
            ("MyFirstDext.iig", "virtual bool init() override;", "virtual bool init( override;", "MyFirstDext.iig:"),
            ("MyFirstDext.cpp", "#include", "int x = nowhere;\n#include", "MyFirstDext.cpp:"),
            ("Info.plist", "<dict>", "<dikt>", "Info.plist is no property list"),
            (
                "MyFirstDext.iig", "uint32_t * response, OSAction * completion) override;",
                "uint32_t * response, OSAction * completion) override QUEUENAME(Other);", "B01"
            ),
        ])
    func refused(file: String, old: String, new: String, text: String) throws {
        let scratch = TemporaryDirectory()
        let directory = try copy(in: scratch)
        try change("\(directory)/\(file)", old, new)
        let result = try build(directory, in: scratch)
        #expect(result.status == 1)
        #expect(result.errors.contains(text), "\(result.errors)")
        #expect(!FileManager.default.fileExists(atPath: "\(scratch.path)/Disk.dext/Disk.so"))
    }

    @Test("that cannot be linked leave no bundle, so that the next build can make it")
    func unlinked() throws {
        let scratch = TemporaryDirectory()
        let directory = try copy(in: scratch)
        let mistake = "extern \"C\" int nowhere(void);\nint somewhere = nowhere();\n"
        let line = "static const uint32_t kBlockByteCount"
        try change("\(directory)/MyFirstDext.cpp", line, mistake + line)
        let result = try build(directory, in: scratch)
        #expect(result.status == 1 && result.errors.contains("nowhere"), "\(result.errors)")
        try change("\(directory)/MyFirstDext.cpp", mistake, "")
        #expect(try build(directory, in: scratch).status == 0)
    }

    @Test("that macOS would drop without a word are named")
    func dropped() throws {
        let scratch = TemporaryDirectory()
        let directory = try copy(in: scratch)
        try change("\(directory)/Info.plist", "com.apple.iokit.IOSCSIParallelFamily", "com.apple.kpi.iokit")
        let result = try build(directory, in: scratch)
        #expect(result.status == 0 && result.errors.contains("B53"), "\(result.errors)")
    }

    @Test(
        "with a mistake that only a sanitizer sees end with its report",
        arguments: [
            (
                "address", "heap-use-after-free",
                """
                volatile char * memory = (volatile char *)IOMalloc(16);
                IOFree((void *)memory, 16);
                memory[3] = 1;
                """
            ),
            (
                "thread", "data race",
                """
                static volatile int count;
                ivars->auxiliaryQueue->DispatchAsync(^{ count = count + 1; });
                count = count + 1;
                ivars->auxiliaryQueue->DispatchSync(^{});
                """
            ),
            (
                "undefined", "shift exponent 40",
                """
                volatile int bit = 40;
                bit = 1 << bit;
                """
            ),
        ])
    func sanitized(sanitizer: String, words: String, mistake: String) throws {
        let scratch = TemporaryDirectory()
        let directory = try copy(in: scratch)
        try change(
            "\(directory)/MyFirstDext.cpp", "IMPL(MyFirstDext, UserStartController)\n{",
            "IMPL(MyFirstDext, UserStartController)\n{\n\(mistake)")
        let built = try build(directory, in: scratch, "--sanitize", sanitizer)
        #expect(built.status == 0, "\(built.errors)")
        let result = try Shell.run(
            nbdext,
            ["serve", "--dext", "\(scratch.path)/Disk.dext", "--socket", "\(scratch.path)/socket"])
        #expect(result.status == 1)
        #expect(result.errors.contains(words), "\(result.errors)")
        #expect(result.errors.contains("MyFirstDext.cpp"), "the report has no line of the source: \(result.errors)")
    }

    @Test("without a mistake pass check-driver with ThreadSanitizer, which sees the queues' order")
    func threads() throws {
        let bundle = "\(TemporaryDirectory().path)/Disk.dext"
        let built = try Shell.run(nbdext, ["dext", "build", Self.example, "-o", bundle, "--sanitize", "thread"])
        #expect(built.status == 0, "\(built.errors)")
        let result = try Shell.run(nbdext, ["check-driver", bundle])
        #expect(result.status == 0 && !result.errors.contains("ThreadSanitizer"), "\(result.output + result.errors)")
    }

    @Test("that are no bundles are refused with one sentence")
    func noBundle() throws {
        let scratch = TemporaryDirectory()
        let other = "\(scratch.path)/Other.dext"
        try FileManager.default.createDirectory(atPath: other, withIntermediateDirectories: true)
        for path in ["/nowhere.dext", scratch.path, other] {
            let result = try Shell.run(nbdext, ["serve", "--dext", path, "--socket", "\(scratch.path)/socket"])
            #expect(result.status == 1)
            #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)")
        }
        // A build does not overwrite what it has not made.
        let result = try Shell.run(nbdext, ["dext", "build", Self.example, "-o", other])
        #expect(result.status == 1 && result.errors.contains("no bundle that nbdext made"), "\(result.errors)")
    }
}
