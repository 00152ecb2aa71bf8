"""Machine code: vector mathematics, the driver around the kernels, the module, the cache, the threads.

In: a `Program`.  Out: `Code`, whose entry runs many minibatches in one call.

    mathematics vector_text, vector_math_tables → vector_format → vector_exponential, vector_power, vector_trigonometry,
                vector_random → vector_math
    driver      job → driver_support, driver_job, driver_copy, driver_threads, driver_pieces →
                driver_writer → driver
    code        cache, fingerprint, code_generation → target → code_processes, image → elf, module → native →
                ahead, threads, team → machine_code
    times       driver_speed → speed → prediction
"""
