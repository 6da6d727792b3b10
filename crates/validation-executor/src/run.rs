//! One call of a validation function, in this process.

use wasmtime::{
    Engine, Error, ExternType, FuncType, Instance, Linker, Memory, Module, ResourceLimiter, Store, Trap, TypedFunc,
    UnknownImportError,
};

use crate::{
    engine::Failure,
    host_functions::{self, HostError, HostState, WasmMemory, allocator::Allocator},
    limits::{MAX_MEMORY_PAGES, MAX_PARAMS_BYTES, MAX_RESULT_BYTES, MAX_TABLE_ELEMENTS, NATIVE_STACK_BYTES},
};

const PAGE_BYTES: usize = 64 * 1024;
type Entry = TypedFunc<(u32, u32), u64>;

impl ResourceLimiter for HostState {
    fn memory_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = MAX_MEMORY_PAGES as usize * PAGE_BYTES;
        Ok(desired <= maximum.unwrap_or(allowed).min(allowed))
    }

    /// Growth that our limits and the memory's own allow must not fail: the code would see it, and go on in another
    /// way than on other machines.
    fn memory_grow_failed(&mut self, error: Error) -> wasmtime::Result<()> {
        self.machine_failure = Some(format!("memory could not grow: {error:#}"));
        Err(error)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired as u64 <= MAX_TABLE_ELEMENTS)
    }

    fn table_grow_failed(&mut self, error: Error) -> wasmtime::Result<()> {
        self.machine_failure = Some(format!("a table could not grow: {error:#}"));
        Err(error)
    }
}

/// Calls `validate_block` with `params` on a stack of the right size, with `fuel` if the engine meters by it.
/// `before` runs first, on that stack's thread.
///
/// # Errors
///
/// [`Failure`] says whose fault it is that there is no result.
pub(crate) fn run(
    engine: &Engine,
    module: &Module,
    params: &[u8],
    fuel: Option<u64>,
    before: impl FnOnce() + Send,
) -> Result<Vec<u8>, Failure> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("validate_block".into())
            .stack_size(NATIVE_STACK_BYTES)
            .spawn_scoped(scope, || {
                before();
                run_here(engine, module, params, fuel)
            })
            .map_err(|error| Failure::internal(format!("no thread to run on: {error}")))?;
        thread.join().unwrap_or_else(|_| Err(Failure::internal("running the validation function panicked")))
    })
}

fn run_here(engine: &Engine, module: &Module, params: &[u8], fuel: Option<u64>) -> Result<Vec<u8>, Failure> {
    if params.len() > MAX_PARAMS_BYTES {
        let len = params.len();
        return Err(Failure::internal(format!("parameters of {len} bytes, at most {MAX_PARAMS_BYTES} are taken")));
    }
    check_sizes(module)?;
    let mut store = Store::new(engine, HostState { metered: fuel.is_some(), ..HostState::default() });
    store.limiter(|state| state);
    if let Some(fuel) = fuel {
        store.set_fuel(fuel).map_err(|error| Failure::internal(format!("{error:#}")))?;
    }
    let linker = link(engine, module, &mut store)?;
    let instance = linker.instantiate(&mut store, module).map_err(|error| classify(&store, &error))?;
    let (memory, entry) = exports(&instance, &mut store)?;
    let heap_base = heap_base(&instance, &mut store)?;
    store.data_mut().memory = Some(memory);

    let mut allocator = Allocator::new(heap_base);
    let len = params.len() as u32;
    let pointer = allocator
        .allocate(&mut WasmMemory { memory, store: (&mut store).into() }, len)
        .map_err(|reason| machine_or(&store, format!("the parameters find no place in its memory: {reason}")))?;
    memory
        .write(&mut store, pointer as usize, params)
        .map_err(|_| Failure::internal("parameters were placed outside of the memory"))?;
    store.data_mut().allocator = Some(allocator);

    let packed = entry.call(&mut store, (pointer, len)).map_err(|error| classify(&store, &error))?;
    let (start, len) = (packed as u32 as usize, (packed >> 32) as usize);
    if len > MAX_RESULT_BYTES {
        return Err(Failure::invalid(format!("a result of {len} bytes, at most {MAX_RESULT_BYTES} are allowed")));
    }
    let result = memory.data(&store).get(start..start.saturating_add(len));
    result.map(<[u8]>::to_vec).ok_or_else(|| Failure::invalid("the result lies outside of the memory"))
}

/// Refuses memories and tables that begin larger than they may become.
fn check_sizes(module: &Module) -> Result<(), Failure> {
    let imports = module.imports().map(|import| import.ty());
    let own = module.resources_required();
    let mut memory_pages = own.max_initial_memory_size.unwrap_or(0);
    let mut table_elements = own.max_initial_table_size.unwrap_or(0);
    for ty in imports {
        match ty {
            ExternType::Memory(memory) => memory_pages = memory_pages.max(memory.minimum()),
            ExternType::Table(table) => table_elements = table_elements.max(table.minimum()),
            _ => {}
        }
    }
    if memory_pages > MAX_MEMORY_PAGES {
        return Err(Failure::invalid(format!(
            "memory begins with {memory_pages} pages, at most {MAX_MEMORY_PAGES} are allowed"
        )));
    }
    if table_elements > MAX_TABLE_ELEMENTS {
        return Err(Failure::invalid(format!(
            "a table begins with {table_elements} elements, at most {MAX_TABLE_ELEMENTS} are allowed"
        )));
    }
    Ok(())
}

/// Gives each import what it asks for: its memory, a host function, or a trap that says what is not there.
fn link(engine: &Engine, module: &Module, store: &mut Store<HostState>) -> Result<Linker<HostState>, Failure> {
    let internal = |error: Error| Failure::internal(format!("imports cannot be defined: {error:#}"));
    let mut linker = Linker::new(engine);
    host_functions::link(&mut linker).map_err(internal)?;
    for import in module.imports() {
        let (from, name) = (import.module(), import.name());
        match import.ty() {
            ExternType::Memory(ty) if (from, name) == ("env", "memory") => {
                let memory = Memory::new(&mut *store, ty).map_err(|error| machine_or(store, format!("{error:#}")))?;
                store.data_mut().memory = Some(memory);
                linker.define(&mut *store, from, name, memory).map_err(internal)?;
            }
            ExternType::Func(wanted) => {
                let known = linker.get(&mut *store, from, name).ok().and_then(|item| item.into_func());
                if known.is_some_and(|known| !FuncType::eq(&known.ty(&*store), &wanted)) {
                    return Err(Failure::invalid(format!("host function {name} is imported with another type")));
                }
            }
            _ => {
                return Err(Failure::invalid(format!("import {from}.{name} is of no kind that a host provides")));
            }
        }
    }
    linker.define_unknown_imports_as_traps(module).map_err(internal)?;
    Ok(linker)
}

fn exports(instance: &Instance, store: &mut Store<HostState>) -> Result<(Memory, Entry), Failure> {
    let exported = instance.get_memory(&mut *store, "memory");
    let memory = exported
        .or(store.data().memory)
        .ok_or_else(|| Failure::invalid("there is no memory, neither exported nor imported"))?;
    let function = instance
        .get_func(&mut *store, "validate_block")
        .ok_or_else(|| Failure::invalid("there is no function validate_block"))?;
    let entry = function
        .typed(&*store)
        .map_err(|_| Failure::invalid("validate_block takes or gives something else than pointer and length"))?;
    Ok((memory, entry))
}

fn heap_base(instance: &Instance, store: &mut Store<HostState>) -> Result<u32, Failure> {
    let global = instance.get_global(&mut *store, "__heap_base");
    global
        .and_then(|global| global.get(&mut *store).i32())
        .map(|base| base as u32)
        .ok_or_else(|| Failure::invalid("there is no global __heap_base that says where its heap begins"))
}

/// [`Failure::Internal`] when the machine failed meanwhile, else invalid for `reason`.
fn machine_or(store: &Store<HostState>, reason: String) -> Failure {
    match &store.data().machine_failure {
        Some(failure) => Failure::internal(failure.clone()),
        None => Failure::invalid(reason),
    }
}

/// Whose fault it is that a call did not return.
fn classify(store: &Store<HostState>, error: &Error) -> Failure {
    if let Some(failure) = &store.data().machine_failure {
        return Failure::internal(failure.clone());
    }
    let reason = if let Some(unknown) = error.downcast_ref::<UnknownImportError>() {
        format!("called host function {}.{}, which does not exist here", unknown.module(), unknown.name())
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        if *trap == Trap::OutOfFuel {
            return Failure::OutOfTime;
        }
        trap.to_string()
    } else if let Some(host) = error.downcast_ref::<HostError>() {
        host.to_string()
    } else {
        return Failure::internal(format!("{error:#}"));
    };
    match &store.data().last_log {
        Some(log) => Failure::invalid(format!("{reason}; it last logged: {log}")),
        None => Failure::invalid(reason),
    }
}
