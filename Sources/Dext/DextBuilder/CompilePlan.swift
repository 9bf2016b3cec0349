import Platform

/// The calls of the compiler that a bundle needs.
struct CompilePlan {
    private(set) var steps: [CompileStep] = []
    private let objects: String
    /// As macOS compiles a DEXT. The header gives the types and the macros of Apple's compiler.
    private static let language = ["-fblocks", "-include", "nbdext/Prefix.h"]
    private static let languagePlus = ["-fno-exceptions", "-fno-rtti"]

    /// - Parameter directory: the build's, absolute. Objects go into a directory in it.
    /// - Throws: `OperationError` when a file cannot be written.
    init(
        _ options: DextBuildOptions, _ toolchain: Toolchain, _ kit: DextKit, _ translation: InterfaceTranslation,
        directory: String
    ) throws(OperationError) {
        objects = try DextBuild.makeDirectory("\(directory)/objects")
        let includes =
            ["-I\(translation.directory)", "-isystem", kit.headers]
            + (options.project.headerDirectories + options.includes).map { "-I\($0)" }
        let common =
            Self.language + ["-O2", "-g", "-fPIC", "-fvisibility=hidden"] + (options.sanitizer?.flags ?? []) + includes
            + options.defines.map { "-D\($0)" }
        let compilePlus = [toolchain.compiler, "-x", "c++", "-std=\(options.standard)"] + Self.languagePlus + common
        let compileC = [toolchain.compiler, "-x", "c"] + common
        // The kit first, since it takes the longest. In two pieces: a file at a time would take longer than the driver.
        for (title, files) in [("kit-interfaces", translation.kitImplementations), ("kit-runtime", kit.runtimeSources)]
        {
            let source = "\(directory)/\(title).cpp"
            try InterfaceTranslation.writeIfChanged(
                Array(files.map { "#include \"\($0)\"\n" }.joined().utf8), to: source)
            add(source, title: title, prefix: "", compilePlus + ["-w", "-gline-tables-only"])
        }
        let root = options.project.directory + "/"
        for source in options.project.sources {
            let title = source.hasPrefix(root) ? String(source.dropFirst(root.count)) : source
            add(source, title: title, prefix: "driver-", source.hasSuffix(".c") ? compileC : compilePlus)
        }
        for source in translation.implementations {
            add(source.path, title: source.title, prefix: "interface-", compilePlus)
        }
    }

    private mutating func add(_ source: String, title: String, prefix: String, _ compile: [String]) {
        let name = prefix + title.replacing("/", with: "_")
        steps.append(CompileStep(title: title, source: source, object: "\(objects)/\(name).o", compile: compile))
    }
}
