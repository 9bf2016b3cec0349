import Glibc
import InterfaceGenerator
import Platform

/// The calls of the compiler that a bundle needs.
struct CompilePlan {
    /// The objects of the bundle.
    private(set) var objects: [String] = []
    /// The calls that are needed now.
    private(set) var steps: [CompileStep] = []
    /// As macOS compiles a DEXT. The header gives the types and the macros of Apple's compiler.
    private static let language = ["-fblocks", "-include", "nbdext/Prefix.h", "-O2", "-fPIC", "-fvisibility=hidden"]
    private static let languagePlus = ["-fno-exceptions", "-fno-rtti"]

    /// - Parameters:
    ///   - directory: the build's, absolute. Objects go into a directory in it.
    ///   - caches: nbdext's directory for caches, where the kit's objects serve all builds; nil for none.
    /// - Throws: `OperationError` when a file cannot be written.
    init(
        _ options: DextBuildOptions, _ toolchain: Toolchain, _ kit: DextKit, _ translation: InterfaceTranslation,
        directory: String, caches: String?
    ) throws(OperationError) {
        let objects = try DextBuild.makeDirectory("\(directory)/objects")
        let checks = options.sanitizer?.flags ?? []
        // The kit first, since it takes the longest.
        try addKit(kit, translation, toolchain, checks, directory: directory, caches: caches)

        let includes =
            ["-I\(translation.directory)", "-isystem", kit.headers]
            + (options.project.headerDirectories + options.includes).map { "-I\($0)" }
        let common = Self.language + ["-g"] + checks + includes + options.defines.map { "-D\($0)" }
        let compilePlus = [toolchain.compiler, "-x", "c++", "-std=\(options.standard)"] + Self.languagePlus + common
        let compileC = [toolchain.compiler, "-x", "c"] + common
        func add(_ source: String, title: String, prefix: String, _ compile: [String]) {
            let object = "\(objects)/\(prefix)\(title.replacing("/", with: "_")).o"
            let step = CompileStep(title: title, source: source, object: object, compile: compile)
            self.objects.append(object)
            if !step.isUpToDate { steps.append(step) }
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

    /// Adds the kit, which is the same for all drivers: nothing of the driver's goes into it.
    private mutating func addKit(
        _ kit: DextKit, _ translation: InterfaceTranslation, _ toolchain: Toolchain, _ checks: [String],
        directory: String, caches: String?
    ) throws(OperationError) {
        let compile =
            [toolchain.compiler, "-x", "c++", "-std=gnu++20"] + Self.languagePlus + Self.language
            + ["-w", "-gline-tables-only"] + checks
        // What the objects show of files is the same whoever made them first.
        let places = ["-I\(translation.directory)", "-isystem", kit.headers, "-ffile-prefix-map=\(directory)=."]
        var fingerprint = kit.fingerprint
        fingerprint.add(translation.kitFingerprint.digits.utf8)
        fingerprint.add((compile + ["\(FileTime.of(toolchain.compiler), default: "")"]).joined(separator: "\n").utf8)
        let kitObjects = try Self.kitDirectory(named: fingerprint.digits, caches: caches, else: directory)
        // Two pieces, side by side. A file at a time would take longer than the driver.
        for (title, files) in [("kit-interfaces", translation.kitImplementations), ("kit-runtime", kit.runtimeSources)]
        {
            let source = "\(directory)/\(title).cpp"
            let object = "\(kitObjects)/\(title).o"
            try InterfaceTranslation.writeIfChanged(
                Array(files.map { "#include \"\($0)\"\n" }.joined().utf8), to: source)
            objects.append(object)
            if access(object, R_OK) != 0 {
                steps.append(CompileStep(title: title, source: source, object: object, compile: compile + places))
            }
        }
    }

    /// The directory of the kit's objects, made if it is missing.
    private static func kitDirectory(
        named name: String, caches: String?, else directory: String
    ) throws(OperationError) -> String {
        if let caches, let shared = try? DextBuild.makeDirectory("\(caches)/kit/\(name)"),
            access(shared, W_OK) == 0
        {
            return shared
        }
        return try DextBuild.makeDirectory("\(directory)/kit/\(name)")
    }
}
