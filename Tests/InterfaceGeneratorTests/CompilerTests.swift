import Foundation
import InterfaceGenerator
import Platform
import TestTraits
import Testing

/// The compiler reads what is made, and names the developer's lines.
@Suite("Compiler", .blocks, .enabled(if: Compiler.path != nil, "clang++ is not installed"))
struct CompilerTests {
    /// A program of a driver whose methods are all written.
    private static let program = """
        #include <Driver.h>
        struct Driver_LocalIVars { int unused; };
        bool Helper::init() { return super::init(); }
        bool Driver::init() { return super::init() && ivars != nullptr; }
        void Driver::free() { ivars->ticks = 0; super::free(); }
        kern_return_t IMPL(Driver, Start) { return Start(provider, SUPERDISPATCH); }
        kern_return_t IMPL(Driver, Stop) { return Stop(the_provider, SUPERDISPATCH); }
        kern_return_t Driver::NewUserClient_Impl(uint32_t type, IOUserClient **) { return (kern_return_t)type; }
        kern_return_t IMPL(Driver, UserInitializeController) {
            OSAction *action;
            CreateActionTick(sizeof(int), &action);
            Tick(action, 3);
            return Ping(1, nullptr);
        }
        kern_return_t IMPL(Driver, UserProcessParallelTask) { *response = (uint32_t)request.fTargetID; return 0; }
        void IMPL(Driver, UserProcessBundledParallelTasks) { (void)slots[count]; }
        void IMPL(Driver, Tick) { (void)time; }
        void IMPL(Driver, Tock) { (void)action; }
        kern_return_t IMPL(Driver, Ping) { *answer = value; return 0; }
        void Driver::Note_Impl(const IODispatchQueueName name, OSDictionary *, Number, bool last) { (void)name; (void)last; }
        kern_return_t IMPL(Driver, Send) { return bytes[1][2] + words[0] + mode; }
        kern_return_t IMPL(Driver, Read) const { return (kern_return_t)offset; }
        void IMPL(Driver, Done) { (void)status; }
        kern_return_t IMPL(Driver, Subscribe) { (void)port; return 0; }
        kern_return_t IMPL(Driver, Make) { (void)driver; return 0; }
        #if DRIVER_TRACE
        kern_return_t IMPL(Driver, Trace) { return (kern_return_t)mask; }
        #endif

        """

    /// The kit of the samples, the stand-in for its hand-written headers, and a driver.
    private func project(_ driver: String) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory(name: "interface")
        let file = Samples.parse(driver)
        for made in Samples.kitFiles + [file] {
            let result = Translation(of: made, in: ClassTable(Samples.kitFiles + [file]))
            let path = "\(directory.path)/\(made.source.header)"
            try write(result.header, path)
            try write(result.implementation, path.dropLast(2) + ".iig.cpp")
        }
        try write(Array(StandIn.header.utf8), "\(directory.path)/nbdext/Generated.h")
        try write(Array("#pragma once\n".utf8), "\(directory.path)/DriverTypes.h")
        try write(Array(Self.program.utf8), "\(directory.path)/Driver.cpp")
        return directory
    }

    private func write(_ bytes: [UInt8], _ path: String) throws {
        let folder = (path as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    @Test(
        "a driver with every construct compiles, whatever its conditionals say",
        arguments: [
            [], ["-DDRIVER_TRACE=1"], ["-DDRIVER_TRACE=1", "-DDRIVER_DEEP"], ["-DDRIVER_LOG"], ["-std=gnu++23"],
        ])
    func compiles(options: [String]) throws {
        let directory = try project(Samples.driver)
        let kit = options.isEmpty ? Samples.kit.map { $0.header.dropLast(2) + ".iig.cpp" } : []
        for name in kit + ["Driver.iig.cpp", "Driver.cpp"] {
            let complaints = try Compiler.check("\(directory.path)/\(name)", in: directory.path, options)
            #expect(complaints == "", "\(name)")
        }
    }

    /// Changes of the driver, and the line and the message that the compiler has to give. Names of types, and what a
    /// typedef stands for, are the compiler's business.
    private static let mistakes: [(String, String, line: Int, String)] = [
        ("kern_return_t Read(uint64_t", "kern_return_t Read(unit64_t", 63, "error: unknown type name 'unit64_t'"),
        ("uint64_t ticks{0};", "uint64_t ticks{0}", 90, "error: expected ';'"),
        ("enum Mode { kOff,", "enum Mode { kOff", 34, "error: missing ','"),
        (
            "ParallelTask(SCSIUserParallelTask req", "ParallelTask(SCSIUserParallelResponse req", 52,
            "note: in instantiation"
        ),
        ("#include \"DriverTypes.h\"", "#include \"Missing.h\"", 7, "fatal error: 'Missing.h' file not found"),
        (
            "void Trace(uint64_t mask) LOCALONLY;", "void Trace(Mask mask) LOCALONLY;", 78,
            "error: unknown type name 'Mask'"
        ),
        ("bool Walk(DriverBlock", "bool Walk(Block", 82, "error: unknown type name 'Block'"),
        ("uint32_t level, const", "Level level, const", 76, "error: unknown type name 'Level'"),
    ]

    @Test("a mistake that only the compiler sees is on the developer's line", arguments: mistakes)
    func lines(right: String, wrong: String, line: Int, message: String) throws {
        let text = Samples.driver.replacingOccurrences(of: right, with: wrong)
        #expect(text != Samples.driver)
        let directory = try project(text)
        let options = line == 76 ? ["-DDRIVER_LOG"] : []
        let complaints = try Compiler.check("\(directory.path)/Driver.iig.cpp", in: directory.path, options)
        let found = complaints.split(separator: "\n").contains { text in
            text.contains("Driver.iig:\(line):") && text.contains(message)
        }
        #expect(found, "\(complaints)")
    }

    @Test("names in a method are the developer's, and a missing method is named when it is linked")
    func names() throws {
        let directory = try project(Samples.driver)
        let text = Self.program.replacingOccurrences(of: "Start(provider, SUPER", with: "Start(the_provider, SUPER")
        try write(Array(text.utf8), "\(directory.path)/Driver.cpp")
        let complaints = try Compiler.check("\(directory.path)/Driver.cpp", in: directory.path, [])
        #expect(complaints.contains("Driver.cpp:6:") && complaints.contains("undeclared identifier 'the_provider'"))
    }
}

/// The compiler of the toolchain, or of the system.
enum Compiler {
    static let path: String? = {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let folders = path.split(separator: ":").map(String.init) + ["/opt/swift/usr/bin"]
        return folders.map { "\($0)/clang++" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    /// What it says of a file: nothing if that is sound.
    static func check(_ file: String, in directory: String, _ options: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path ?? "")
        process.arguments =
            [
                "-x", "c++", "-std=gnu++20", "-fblocks", "-fno-exceptions", "-fno-rtti", "-fsyntax-only", "-Wall",
                "-Werror",
            ]
            + ["-I", directory] + options + [file]
        let pipe = Pipe()
        process.standardError = pipe
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }
}
