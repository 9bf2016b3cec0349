import CDextABI
import DextBundle
import Diagnostics
import Glibc
import Platform

/// The wishes of a developer for a build.
package struct DextBuildOptions: Sendable {
    /// The driver's files.
    package var project: ProjectFiles
    /// The bundle's path, which ends with `.dext`.
    package var output: String
    /// The checks to compile in; nil for none.
    package var sanitizer: Sanitizer?
    /// Macros, `X` or `X=Y`. Those with a value are also variables of Info.plist.
    package var defines: [String] = []
    /// More directories for headers.
    package var includes: [String] = []
    /// The language, as clang's `-std` names it.
    package var standard = "gnu++20"

    /// - Parameter output: nil makes NAME.dext in the current directory, with the name of the project's directory.
    /// - Throws: `OperationError` when the path does not end with `.dext`.
    package init(project: ProjectFiles, output: String? = nil) throws(OperationError) {
        self.project = project
        let name = project.directory.split(separator: "/").last.map(String.init) ?? "driver"
        self.output = output ?? "\(name)\(DextBundle.suffix)"
        guard self.output.hasSuffix(DextBundle.suffix), self.product != "" else {
            throw OperationError(
                "\(self.output) does not end with \(DextBundle.suffix); use such as -o \(name)\(DextBundle.suffix)")
        }
    }

    /// The name of the bundle and its library, without ending.
    package var product: String {
        String((output.split(separator: "/").last ?? "").dropLast(DextBundle.suffix.count))
    }
}

/// Makes a bundle from a driver's sources: translates the interface files, compiles, links.
///
/// Intermediate files lie beside the bundle, in NAME.build, but for the kit's objects, which the user's builds share in
/// the directory for caches. What has not changed is not made again.
package struct DextBuild {
    /// What a build tells while it runs.
    package enum Event: Sendable {
        /// A file is compiled, the so manieth of so many.
        case step(Int, of: Int, String)
        /// What the compiler printed, untouched.
        case compilerOutput(String)
        /// A message about an interface file or the property list.
        case message(String)
    }

    private let options: DextBuildOptions
    private let toolchain: Toolchain
    private let kit: DextKit
    private let report: @Sendable (Event) -> Void
    private let buildDirectory: String

    /// - Parameter report: called for each event, one at a time, on any thread.
    package init(
        _ options: DextBuildOptions, toolchain: Toolchain, kit: DextKit, report: @escaping @Sendable (Event) -> Void
    ) {
        self.options = options
        self.toolchain = toolchain
        self.kit = kit
        self.report = report
        buildDirectory = "\(options.output.dropLast(DextBundle.suffix.count)).build"
    }

    /// Makes the bundle.
    /// - Returns: the mistakes that macOS would punish without a word.
    /// - Throws: `OperationError` with one sentence; what the compiler said was reported before.
    package func run() throws(OperationError) -> [Diagnosis] {
        try checkOutput()
        let build = try Self.makeDirectory(buildDirectory)
        let (plist, info) = try propertyList()
        let translation = try InterfaceTranslation(
            project: options.project, kit: kit, into: "\(build)/include", names: [info.identifier, options.product],
            report: report)
        let plan = try CompilePlan(
            options, toolchain, kit, translation, directory: build, caches: Directory.ofCaches)
        try compile(plan.steps, of: plan.objects.count)
        let runtime = try options.sanitizer.map { sanitizer throws(OperationError) in
            try sanitizer.runtime(of: toolchain)
        }
        try link(plan.objects, in: build, plist: plist, runtime: runtime)
        let check = PersonalityCheck(info, classes: translation.classes)
        if !check.hasController {
            report(
                .message(
                    "note: no personality has a class that derives from IOUserSCSIParallelInterfaceController; such a "
                        + "bundle can be built but not served"))
        }
        return check.faults() + translation.missingMethods(of: info)
    }

    // MARK: Parts

    private func checkOutput() throws(OperationError) {
        var status = stat()
        guard stat(options.output, &status) == 0 else { return }
        guard access("\(options.output)/build.txt", F_OK) == 0 else {
            throw OperationError(
                "\(options.output) exists and is no bundle that nbdext made; remove it, or choose another -o")
        }
    }

    /// Reads Info.plist, runs it through the preprocessor when it has its directives, and replaces its variables.
    private func propertyList() throws(OperationError) -> (bytes: [UInt8], info: InfoPlist) {
        let path = options.project.propertyList
        var bytes = try InfoPlist.bytes(of: path)
        if !bytes.starts(with: "bplist".utf8) {
            var text = String(decoding: bytes, as: UTF8.self)
            if text.split(whereSeparator: \.isNewline).contains(where: { $0.hasPrefix("#if") }) {
                text = try preprocess(path)
            }
            let replaced = PropertyListVariables(product: options.product, values: variables).replace(in: text)
            for name in replaced.unknown {
                report(.message("\(path): note: $(\(name)) has no value; give it one with --define \(name)=VALUE"))
            }
            bytes = Array(replaced.text.utf8)
        }
        return (bytes, try InfoPlist(bytes, name: path, product: options.product))
    }

    private func preprocess(_ path: String) throws(OperationError) -> String {
        // In the traditional mode "//" begins no comment.
        let command = [toolchain.compiler, "-E", "-P", "-x", "c", "-undef", "-traditional-cpp"] + defines + [path]
        let outcome = try run(command)
        guard outcome.status == 0 else {
            report(.compilerOutput(outcome.output))
            throw OperationError("the preprocessor refused \(path)")
        }
        return outcome.output
    }

    private var variables: [String: String] {
        var values: [String: String] = [:]
        for define in options.defines {
            let parts = define.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { values[String(parts[0])] = String(parts[1]) }
        }
        return values
    }

    private var defines: [String] { options.defines.map { "-D\($0)" } }

    private func compile(_ steps: [CompileStep], of count: Int) throws(OperationError) {
        let failed: [String]
        do { failed = try CompileQueue(steps, report: report).run() } catch {
            throw OperationError("the compiler does not run: \(error)", cause: error)
        }
        guard failed.isEmpty else {
            throw OperationError(
                "\(failed.count) of \(count) files have errors: \(failed.sorted().joined(separator: ", "))")
        }
    }

    private func link(_ objects: [String], in build: String, plist: [UInt8], runtime: String?) throws(OperationError) {
        let fresh = "\(build)/\(options.product).so"
        let command =
            [toolchain.compiler, "-shared", "-o", fresh] + objects + (options.sanitizer?.flags ?? [])
            + (toolchain.hasLLD ? ["-fuse-ld=lld"] : [])
            // With a sanitizer, its own symbols are found in its runtime only when the process starts.
            + (options.sanitizer == nil ? ["-Wl,-z,defs"] : [])
            + [
                "-Wl,--version-script=\(kit.symbols)", "-Wl,--gc-sections", toolchain.blocksRuntime, "-lstdc++", "-lm",
                "-lpthread",
            ]
        let outcome = try run(command)
        if !outcome.output.isEmpty { report(.compilerOutput(outcome.output)) }
        guard outcome.status == 0 else { throw OperationError("the linker could not make \(options.output)") }
        // Not before: a directory without a library is no bundle, and would be refused the next time.
        let bundle = try Self.makeDirectory(options.output)
        let library = DextBundle.library(in: bundle, name: options.product)
        let record = DextBundle.BuildRecord(sanitizerRuntime: runtime)
        do {
            try TextFile.write(String(decoding: plist, as: UTF8.self), to: "\(bundle)/Info.plist")
            // The library goes in last and at once: a server never loads half of one.
            guard rename(fresh, library) == 0 else { throw OSError(code: errno, doing: "move \(fresh) to \(library)") }
            try TextFile.write(record.text, to: "\(bundle)/build.txt")
        } catch let error { throw OperationError("\(error)", cause: error) }
    }

    private func run(_ command: [String]) throws(OperationError) -> ChildProcess.Outcome {
        do { return try ChildProcess.run(command) } catch {
            throw OperationError("\(command[0]) does not run: \(error)", cause: error)
        }
    }

    /// Makes a directory unless it is there.
    /// - Returns: its absolute path.
    static func makeDirectory(_ path: String) throws(OperationError) -> String {
        do { try Directory.make(path) } catch { throw OperationError("\(error)", cause: error) }
        guard let resolved = Directory.resolve(path) else { throw OperationError("\(path) cannot be made") }
        return resolved
    }
}
