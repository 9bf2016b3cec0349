import ArgumentParser
import Control
import DextBuilder
import Diagnostics
import Glibc
import Platform

extension Sanitizer: ExpressibleByArgument {}

struct DextCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dext", abstract: "Makes bundles from the C++ sources of DEXTs.",
        subcommands: [DextBuildCommand.self])
}

struct DextBuildCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract: "Translates and compiles a DEXT: its .iig files, its sources and its Info.plist become NAME.dext.",
        usage: "nbdext dext build <directory> [<file> ...] [<options>]",
        discussion: """
            The sources stay as they are for Xcode. What has not changed since the last build is not compiled again. \
            Mistakes that macOS punishes without a word are reported. 'nbdext serve --dext' and 'nbdext \
            check-driver' run the bundle.

            EXAMPLES
              nbdext dext build Examples/MyFirstDextCPP
              nbdext dext build MyDriver -o My.dext --sanitize address --define DEBUG=1
            """)

    @Argument(help: "The directory with the driver's sources.")
    var directory: String
    @Argument(help: "The interface files and sources, if not all below the directory.")
    var files: [String] = []
    @Option(name: .shortAndLong, help: "The bundle's path. (default: DIRECTORY.dext in the current directory)")
    var output: String?
    @Option(help: "A check to compile in: address, thread or undefined.")
    var sanitize: Sanitizer?
    @Option(help: "A macro, X or X=Y; with a value, also a variable of Info.plist; may be repeated.")
    var define: [String] = []
    @Option(help: "Another directory with headers; may be repeated.")
    var include: [String] = []
    @Option(help: "The version of C++, as clang names it.")
    var std = "gnu++20"

    func run() throws {
        var options = try DextBuildOptions(
            project: ProjectFiles(below: directory, only: files), output: output)
        options.sanitizer = sanitize
        options.defines = define
        options.includes = include
        options.standard = std
        let faults = try DextBuild(options, toolchain: .find(), kit: .find(), report: Self.show).run()
        for fault in faults { writeDiagnostic(fault.report) }
        Control.show(ForeignText("made \(options.output)").description)
    }

    /// Prints what a build tells.
    @Sendable static func show(_ event: DextBuild.Event) {
        switch event {
        case .step(let number, let count, let title):
            Control.show(ForeignText("[\(number)/\(count)] \(title)").description)
            fflush(nil)
        case .compilerOutput(let text): writeDiagnostic(text)
        case .message(let text): writeDiagnostic(ForeignText.lines(text) + "\n")
        }
    }
}
